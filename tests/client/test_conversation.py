"""A conversation remembers of each answer what was heard, and can be interrupted."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from stream_omni_client import AudioDelta, Overloaded, Reply, ServerError, StreamOmni, TextDelta
from stream_omni_client.events import Done, Mark, Timings

from tests.client.test_failures import cancelled_turns, wait_for_cancelled_turns

QUESTION = (np.linspace(-0.5, 0.5, 1600, dtype=np.float32), 16000)
ANSWER = "Grüße, 世界"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "text": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "text": text}


def test_each_turn_knows_the_ones_before_it(client: StreamOmni) -> None:
    conversation = client.converse(system="Be brief.", history=[user("before"), assistant("yes")])
    conversation.chat("hello", system="Be long.")
    reply = conversation.chat(audio=QUESTION, max_tokens=7)
    assert reply.done is not None
    sent = reply.done.effective
    earlier = '[{"role": "user", "text": "before"}, {"role": "assistant", "text": "yes"}, '
    earlier += '{"role": "user", "text": "hello"}, {"role": "assistant", "text": "Grüße, 世界"}]'
    assert (sent["history"], sent["system"], sent["max_tokens"]["first"]) == ([earlier], ["Be brief."], 7)
    assert conversation.history[2:] == [user("hello"), assistant(ANSWER), user("what is this"), assistant(ANSWER)]


def test_a_running_answer_is_cut_where_its_listener_stopped_it(client: StreamOmni) -> None:
    before = cancelled_turns(client)
    conversation = client.converse(output="speech")
    seen: list[Any] = []
    with conversation.stream("long") as stream:
        for event in stream:
            seen.append(event)
            if sum(isinstance(one, AudioDelta) for one in seen) == 5:
                assert conversation.interrupt(heard_ms=450) == "one two three"
    wait_for_cancelled_turns(client, before + 1)
    assert stream.reply.text == "one two three four five"
    assert conversation.history == [user("long"), assistant("one two three")]


def test_another_thread_may_interrupt_and_the_loop_just_ends(client: StreamOmni) -> None:
    conversation = client.converse(output="speech")
    with conversation.stream("long") as stream:
        threading.Timer(0.5, conversation.interrupt, [250.0]).start()
        kinds = [type(event) for event in stream]
    assert kinds == [TextDelta] + 5 * [AudioDelta]
    assert conversation.history[-1] == assistant("one two")


def test_the_last_answer_can_be_cut_after_it_was_whole(client: StreamOmni) -> None:
    conversation = client.converse(output="speech")
    conversation.chat("hello")
    assert conversation.history == [user("hello"), assistant(ANSWER)]
    assert conversation.interrupt(heard_ms=150) == "Grüße"
    assert conversation.interrupt(heard_ms=0) == ""
    assert conversation.history == [user("hello")]


def test_asking_ends_the_answer_that_still_runs(client: StreamOmni) -> None:
    before = cancelled_turns(client)
    with client.converse() as conversation:
        first = conversation.stream("endless")
        next(first)
        second = conversation.stream("endless")
        wait_for_cancelled_turns(client, before + 1)
        assert list(first) == []
        next(second)
    wait_for_cancelled_turns(client, before + 2)
    assert [turn["role"] for turn in conversation.history] == ["user", "assistant"] * 2
    assert conversation.history[1]["text"].startswith("more ")


def test_what_brought_nothing_did_not_happen(client: StreamOmni) -> None:
    conversation = client.converse()
    with pytest.raises(Overloaded):
        conversation.chat("refuse UNAVAILABLE OVERLOADED retry_after_ms=60000: Full.")
    with pytest.raises(ServerError):
        conversation.chat("break")
    assert conversation.history == []
    assert conversation.interrupt() == ""
    with pytest.raises(ServerError), conversation.stream("break") as stream:
        list(stream)
    assert conversation.history == [user("break"), assistant("half of it")]  # which its listener saw
    with pytest.raises(TypeError, match="its own history"):
        conversation.chat("hello", history=[])


def test_views_are_of_one_kind_and_begin_at_the_beginning(client: StreamOmni) -> None:
    with client.stream(audio=QUESTION, output="speech") as stream:
        assert pieces(client, stream, "transcript") == ["what ", "is this"]
        assert stream.reply.done is None  # the answer is still to come
        assert pieces(client, stream, "text") == ["Grüße, ", "世界"]
        assert [piece.start_ms for piece in pieces(client, stream, "audio")] == [0, 200]
        assert pieces(client, stream, "transcript") == ["what ", "is this"]
    assert stream.is_over and stream.reply.done is not None


def pieces(client: StreamOmni, stream: Any, view: str) -> list[Any]:
    if isinstance(client, StreamOmni):
        return list(getattr(stream, view))

    async def collect() -> list[Any]:
        return [piece async for piece in getattr(stream.target, view)]

    collected: list[Any] = client.run(collect)
    return collected


def test_a_view_ends_with_the_turn_s_error(client: StreamOmni) -> None:
    with client.stream("break") as stream, pytest.raises(ServerError):
        pieces(client, stream, "text")


def spoken(text: str, marks: list[Mark], milliseconds: int, finish: Any = None) -> Reply:
    reply = Reply("id", is_spoken=True)
    reply.add(TextDelta(0, 0.1, text))
    for start_ms in range(0, milliseconds, 100):
        here = tuple(mark for mark in marks if start_ms <= mark.start_ms < start_ms + 100)
        samples = np.zeros(100, np.int16)
        reply.add(AudioDelta(1, 0.1, samples, 1000, start_ms, here, np.zeros(0, np.int32)))
    if finish:
        reply.add(Done(2, 0.2, finish, "stop", finish, "", text, {}, Timings(), {}))
    return reply


@pytest.mark.parametrize(
    ("heard_ms", "finish", "heard"),
    [
        (0, "stop", ""),
        (1, "stop", "Yes"),
        (150, "stop", "Yes"),
        (151, "stop", "Yes, that"),
        (399, "stop", "Yes, that, here"),
        (400, "stop", "Yes, that, here!"),
        (None, "stop", "Yes, that, here!"),
        (9999, "stop", "Yes, that, here!"),
        (9999, "length", "Yes, that, here"),
        (None, None, "Yes, that, here"),
    ],
)
def test_what_was_heard_follows_from_the_marks(heard_ms: float | None, finish: str | None, heard: str) -> None:
    marks = [Mark(0, 3, 0), Mark(5, 9, 150), Mark(11, 15, 310)]
    assert spoken("Yes, that, here!", marks, 400, finish).text_until(heard_ms) == heard


def test_of_an_answer_without_speech_all_was_heard() -> None:
    reply = Reply("id")
    reply.add(TextDelta(0, 0.1, "Yes"))
    assert reply.text_until(0) == reply.heard == "Yes"


def test_an_interrupted_answer_that_was_not_heard_leaves_its_question(client: StreamOmni) -> None:
    conversation = client.converse(output="speech")
    with conversation.stream("silent"):
        time.sleep(0.1)
        assert conversation.interrupt() == ""
    assert conversation.history == [user("silent")]
