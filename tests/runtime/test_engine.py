"""The engine's thread, with the real engines: company, cancel, lease, refusal, faults, and the end."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stream_omni.runtime.engine import Closed, EngineLoop
from stream_omni.runtime.events import Event
from stream_omni.runtime.slots import Full
from stream_omni.speech_engine import SpeechEngine
from stream_omni.text_engine import TextEngine, TextRequest
from tests.recorded_turns import Outcome, drive, speakable, spoken_case, torch_runtime

ALICE, BOB = 1, 2


def request(seed: int, length: int = 20, max_tokens: int = 12) -> TextRequest:
    ids = np.random.default_rng(seed).integers(0, 128000, length)
    return TextRequest(ids, np.zeros((0, 64), np.float32), max_tokens, (), 0.5 * (seed % 2), 0.9, seed)


ENDLESS = request(0, max_tokens=3000)


def text_engine(checkpoint: Path, slots: int = 2) -> TextEngine:
    runtime = torch_runtime(checkpoint)
    return TextEngine(runtime.session("llm"), runtime.info, slots)


def alone(checkpoint: Path, asked: TextRequest) -> list[int]:
    engine = text_engine(checkpoint, slots=1)
    engine.start(0, asked)
    return drive(engine)[0].ids


@contextmanager
def running(engine: TextEngine, lease_s: float = 2.0) -> Iterator[EngineLoop[TextEngine]]:
    loop = EngineLoop(engine, lease_s)
    try:
        yield loop
    finally:
        loop.close()


def listen(loop: EngineLoop[TextEngine] | EngineLoop[SpeechEngine], owner: int, turns: set[int]) -> dict[int, Outcome]:
    """Poll until all ``turns`` are over."""
    found = {turn: Outcome([], []) for turn in turns}
    while any(outcome.finish is None for outcome in found.values()):
        for event in loop.poll(owner).events():
            found[event.turn].add(event)
    return found


def until(true: Callable[[], bool], within_s: float = 5.0) -> float:
    began_s = time.monotonic()
    while not true():
        assert time.monotonic() - began_s < within_s
        time.sleep(0.002)
    return time.monotonic() - began_s


def test_turns_of_two_owners_get_what_they_get_alone(tiny_checkpoint: Path) -> None:
    asked = {(owner, turn): request(10 * owner + turn, 5 + 40 * turn) for owner in (ALICE, BOB) for turn in (0, 1)}
    found: dict[tuple[int, int], Outcome] = {}
    with running(text_engine(tiny_checkpoint, slots=4)) as loop:
        for (owner, turn), wish in asked.items():
            loop.start(owner, turn, wish)

        def collect(owner: int) -> None:
            found.update({(owner, turn): outcome for turn, outcome in listen(loop, owner, {0, 1}).items()})

        threads = [threading.Thread(target=collect, args=(owner,)) for owner in (ALICE, BOB)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loop.active == 0
    assert {key: outcome.ids for key, outcome in found.items()} == {
        key: alone(tiny_checkpoint, wish) for key, wish in asked.items()
    }


def test_speech_follows_appended_text(tiny_checkpoint: Path) -> None:
    runtime = torch_runtime(tiny_checkpoint)
    sessions = runtime.session("speech_bottom_step"), runtime.session("speech_top")
    engine = SpeechEngine(*sessions, runtime.info, speakable(132352), slots=3)
    names = ["s2s_max5", "s2s_img_anyres_max9", "t2s"]
    loop = EngineLoop(engine)
    try:
        cases = dict(enumerate(spoken_case(tiny_checkpoint, name) for name in names))
        for turn, case in cases.items():
            loop.start(ALICE, turn, case.request)
        sender = threading.Thread(target=send_texts, args=(loop, {t: c.fields["llm_ids"] for t, c in cases.items()}))
        sender.start()
        found = listen(loop, ALICE, set(cases))
        sender.join()
        assert {turn: outcome.ids for turn, outcome in found.items()} == {
            turn: case.fields["out_ids"] for turn, case in cases.items()
        }
        assert all(len(outcome.counts) == len(outcome.ids) for outcome in found.values())

        loop.start(ALICE, 9, cases[0].request)
        loop.append(ALICE, 9, [10**6], final=False)
        (event,) = loop.poll(ALICE, timeout_s=5).events()
        assert event == Event(9, [], [], "error", "text id 1000000 is outside the text vocabulary of 132352 ids")
        loop.append(ALICE, 9, [1], final=False)  # over: ignored
        assert loop.active == 0
    finally:
        loop.close()


def send_texts(loop: EngineLoop[SpeechEngine], texts: dict[int, list[int]]) -> None:
    chance, left = random.Random(0), {turn: list(ids) for turn, ids in texts.items()}
    while left:
        turn = chance.choice(list(left))
        piece = [left[turn].pop(0) for _ in range(min(len(left[turn]), 3))]
        loop.append(ALICE, turn, piece, final=not left[turn])
        if not left[turn]:
            del left[turn]
        time.sleep(0.001)


class Counted(TextEngine):
    steps = 0

    def step(self) -> list[Event]:
        self.steps += 1
        return super().step()


def test_a_cancelled_turn_is_gone_within_a_step_and_not_heard_again(tiny_checkpoint: Path) -> None:
    runtime = torch_runtime(tiny_checkpoint)
    engine = Counted(runtime.session("llm"), runtime.info, 2)
    with running(engine) as loop:
        loop.start(ALICE, 1, ENDLESS)
        loop.start(ALICE, 2, request(3, max_tokens=400))
        while not {1, 2} <= {event.turn for event in loop.poll(ALICE).events()}:
            pass
        before = engine.steps
        loop.cancel(ALICE, 1)
        until(lambda: loop.active == 1)
        assert engine.steps <= before + 2 and engine.active == 1  # the step under way, and one just begun
        heard = {event.turn for _ in range(5) for event in loop.poll(ALICE).events()}
        assert heard == {2}
        loop.start(ALICE, 1, request(5))  # the number and the slot are free again
        loop.cancel(ALICE, 2)
        assert listen(loop, ALICE, {1})[1].ids == alone(tiny_checkpoint, request(5))
        loop.cancel(ALICE, 1)  # over: ignored
        loop.cancel(BOB, 1)


def test_an_owner_that_stops_polling_loses_its_turns_and_no_one_else(tiny_checkpoint: Path) -> None:
    with running(text_engine(tiny_checkpoint), lease_s=0.3) as loop:
        loop.start(ALICE, 1, ENDLESS)
        loop.start(BOB, 1, ENDLESS)
        began_s = time.monotonic()
        while loop.active == 2 and time.monotonic() - began_s < 5:
            loop.poll(BOB, timeout_s=0.05)
        assert 0.25 < time.monotonic() - began_s < 1.0
        last = list(loop.poll(ALICE).events())[-1]  # a late owner learns why
        assert (last.finish, last.message) == ("error", "the owner did not poll for 0.3 s")
        assert list(loop.poll(BOB).events())
        loop.start(ALICE, 1, request(1))
        assert listen(loop, ALICE, {1})[1].finish == "length"


def test_an_owner_without_turns_need_not_poll(tiny_checkpoint: Path) -> None:
    with running(text_engine(tiny_checkpoint), lease_s=0.2) as loop:
        for turn in range(3):
            loop.start(ALICE, turn, request(turn))
            time.sleep(0.05)
            assert listen(loop, ALICE, {turn})[turn].finish == "length"
            time.sleep(
                0.15 * (turn + 1)
            )  # within the lease, beyond it, and beyond the time that an owner is remembered


def test_more_turns_than_slots_are_refused_at_once(tiny_checkpoint: Path) -> None:
    with running(text_engine(tiny_checkpoint)) as loop:
        loop.start(ALICE, 1, ENDLESS)
        with pytest.raises(ValueError, match="turn 1 is already running"):
            loop.start(ALICE, 1, request(1))
        with pytest.raises(ValueError, match="max_tokens is 0"):
            loop.start(ALICE, 2, request(1, max_tokens=0))
        loop.start(BOB, 1, ENDLESS)
        with pytest.raises(Full) as refusal:
            loop.start(BOB, 2, request(1))
        assert refusal.value.capacity == 2 == loop.active
        loop.cancel(ALICE, 1)
        until(lambda: loop.active == 1)
        loop.start(BOB, 2, request(1))


def test_turns_that_come_and_go_at_random_get_what_they_get_alone(tiny_checkpoint: Path) -> None:
    chance = random.Random(0)
    pool = [request(seed, length, 5 + seed) for seed, length in enumerate([1, 20, 65, 130])]
    expected = [alone(tiny_checkpoint, wish) for wish in pool]
    asked: dict[int, int] = {}
    cancelled: set[int] = set()
    found: dict[int, Outcome] = {}
    with running(text_engine(tiny_checkpoint, slots=3)) as loop:
        for turn in range(40):
            which = chance.randrange(len(pool))
            try:
                loop.start(ALICE, turn, pool[which])
                asked[turn] = which
            except Full:
                pass
            if asked and chance.random() < 0.2:
                cancelled.add(gone := max(asked))
                loop.cancel(ALICE, gone)
            for event in loop.poll(ALICE, timeout_s=chance.choice([0, 0.01, 0.05])).events():
                found.setdefault(event.turn, Outcome([], [])).add(event)
        while loop.active or (batch := loop.poll(ALICE, timeout_s=0)):
            for event in (batch if not loop.active else loop.poll(ALICE)).events():
                found.setdefault(event.turn, Outcome([], [])).add(event)
    finished = [turn for turn in asked if turn not in cancelled]
    assert len(finished) >= 5
    assert {turn: found[turn].ids for turn in finished} == {turn: expected[asked[turn]] for turn in finished}


class Faulty(TextEngine):
    """Fails as a whole, outside of what it does for single turns, once it has 20 tokens of cache."""

    def step(self) -> list[Event]:
        if self._caches.lengths.max() > 25:
            raise KeyError("/a/path")
        return super().step()


def test_a_fault_of_the_engine_ends_its_turns_and_it_runs_on(tiny_checkpoint: Path) -> None:
    runtime = torch_runtime(tiny_checkpoint)
    with running(Faulty(runtime.session("llm"), runtime.info, 2)) as loop:
        loop.start(ALICE, 1, ENDLESS)
        loop.start(ALICE, 2, ENDLESS)
        for outcome in listen(loop, ALICE, {1, 2}).values():
            assert (outcome.finish, outcome.message) == ("error", "Faulty failed (KeyError)")
        loop.start(ALICE, 3, request(1, 4))
        assert listen(loop, ALICE, {3})[3].ids == alone(tiny_checkpoint, request(1, 4))


class Broken(TextEngine):
    """Cannot even let a turn go."""

    def cancel(self, turn: int) -> None:
        raise SystemExit(3)


def test_when_the_thread_dies_everyone_is_told(tiny_checkpoint: Path) -> None:
    runtime = torch_runtime(tiny_checkpoint)
    loop = EngineLoop(Broken(runtime.session("llm"), runtime.info, 2))
    loop.start(ALICE, 1, ENDLESS)
    loop.start(ALICE, 2, ENDLESS)
    loop.cancel(ALICE, 2)
    assert listen(loop, ALICE, {1})[1].message == "Broken failed (SystemExit)"
    with pytest.raises(Closed):
        loop.poll(ALICE)
    with pytest.raises(Closed):
        loop.start(ALICE, 3, ENDLESS)
    loop.close()


def test_an_idle_poll_is_an_empty_sign_of_life_and_the_end_cuts_it_short(tiny_checkpoint: Path) -> None:
    with running(text_engine(tiny_checkpoint)) as loop:
        began_s = time.monotonic()
        assert len(loop.poll(ALICE, timeout_s=0.1)) == 0
        assert 0.09 < time.monotonic() - began_s < 0.5
        batches: list[int] = []
        poll = threading.Thread(target=lambda: batches.append(len(loop.poll(ALICE, timeout_s=60))))
        poll.start()
        time.sleep(0.05)
        loop.close()
        poll.join(timeout=2)
        assert batches == [0]
        loop.close()
