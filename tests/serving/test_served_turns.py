"""Whole turns against the real server: the protocol, the modes, and turns that must not know of each other."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.serving.raw_client import Answered, ask, picture, tensors, tone

QUESTIONS: dict[str, dict[str, Any]] = {"text": {"text": "What is this?"}, "speech": {"audio": tone()}}
SHORT = {"max_tokens": 12, "max_audio_ms": 2000}


@pytest.mark.parametrize("pictures", [[], [picture()], [picture(), picture((30, 90), "JPEG", 1)]], ids=len)
@pytest.mark.parametrize(("given", "output"), [*itertools.product(QUESTIONS, ("text", "speech"))])
def test_every_mode(url: str, given: str, output: str, pictures: list[bytes]) -> None:
    images = {"image": pictures} if pictures else {}
    answered = ask(url, **QUESTIONS[given], **images, output=output, **SHORT)
    check_protocol(answered)
    assert answered.detail["effective"]["mode"] == f"{given}_to_{output}"
    assert bool(answered.of("transcript")) == (given == "speech")
    assert answered.of("text")
    assert bool(answered.of("audio")) == (output == "speech")


def check_protocol(answered: Answered) -> None:
    """What holds of every turn that went well."""
    assert answered.error is None
    events = [response["event"] for response in answered.responses]
    assert [response["seq"] for response in answered.responses] == list(range(len(events)))
    assert events.count("done") == 1 and events[-1] == "done"
    if "text" in events:
        assert "transcript" not in events[events.index("text") :]
    detail = answered.detail
    assert answered.joined("text") == detail["text"] and answered.joined("transcript") == detail["transcript"]
    assert "length" not in (detail["text_finish"], detail["audio_finish"]) or detail["finish_reason"] == "length"
    for kind in ("transcript", "text", "audio"):
        assert (detail["timings"][f"first_{kind}_ms"] is not None) == (kind in events)
        assert (detail["timings"][f"first_{kind}_ms"] or 0) <= detail["timings"]["total_ms"]
    check_sound(answered)


def check_sound(answered: Answered) -> None:
    """Gapless; every piece where it belongs on the timeline; marks in order and within the text."""
    at_sample, last_mark_ms, last_character = 0, 0, 0
    for piece in answered.of("audio"):
        assert piece["sample_rate"] == 22_050 and piece["samples"].dtype == np.int16
        assert piece["start_ms"] == round(at_sample * 1000 / 22_050)
        at_sample += len(piece["samples"])
        for begin, end, start_ms in json.loads(piece["marks"]):
            assert last_character <= begin < end <= len(answered.joined("text"))
            assert last_mark_ms <= start_ms <= at_sample * 1000 / 22_050
            last_character, last_mark_ms = end, start_ms
    units = len(answered.units)
    assert at_sample == int(units / 25 * 22_050 / 256) * 256
    assert answered.detail["usage"]["speech_units"] == units
    for other in ("transcript", "text", "done"):
        assert all(not len(r["samples"]) and not len(r["units"]) and not r["marks"] for r in answered.of(other))


def test_a_transcription_ends_before_the_llm(url: str) -> None:
    answered = ask(url, audio=tone(), task="transcribe")
    check_protocol(answered)
    assert [r["event"] for r in answered.responses] == ["transcript", "done"]
    assert answered.joined("transcript") == ask(url, audio=tone(), **SHORT).joined("transcript")


def test_reading_aloud(url: str) -> None:
    answered = ask(url, text="The cat 猫 is grey.", task="speak", max_audio_ms=3000)
    check_protocol(answered)
    assert answered.joined("text") == "The cat 猫 is grey." and answered.units


def test_a_cut_text_is_still_spoken_to_an_end(url: str) -> None:
    answered = ask(url, text="Tell me more", output="speech", max_tokens=5)
    check_protocol(answered)
    assert answered.detail["text_finish"] == "length" and answered.detail["usage"]["text_tokens"] == 5
    assert answered.detail["audio_finish"] in ("stop", "length")


def test_cut_speech_is_as_long_as_was_asked(url: str) -> None:
    answered = ask(url, text="read me aloud", task="speak", max_audio_ms=400)
    check_protocol(answered)
    assert answered.detail["audio_finish"] == "length" and len(answered.units) <= 10


def test_what_changes_the_answer(url: str) -> None:
    """History, system prompt, pictures, voice and seed each count; the same request gives the same answer."""
    plain = {"text": "What is this?", "output": "speech", "max_tokens": 16, "max_audio_ms": 1500}
    earlier = json.dumps([{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello"}])
    same = ask(url, **plain)
    assert ask(url, **plain).samples.tobytes() == same.samples.tobytes()
    for change in ({"history": earlier}, {"system": "Rhyme."}, {"image": [picture()]}):
        changed = ask(url, **plain, **change)
        assert changed.detail["usage"]["prompt_tokens"] != same.detail["usage"]["prompt_tokens"]
    voice = ask(url, **plain, voice="中文女")
    assert voice.units == same.units and voice.samples.tobytes() != same.samples.tobytes()
    seeded = ask(url, **plain, seed=7)
    assert seeded.units == same.units and seeded.samples.tobytes() != same.samples.tobytes()
    drawn = [
        ask(url, text="Hi", temperature=1.5, top_p=0.9, seed=seed, max_tokens=16).joined("text") for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_picture_of_any_place_in_the_prompt_is_seen(url: str) -> None:
    """Two pictures in another order are another prompt."""
    pictures = [picture(seed=1), picture(seed=2)]
    texts = {
        ask(url, text="Compare", image=order, max_tokens=16).joined("text") for order in (pictures, pictures[::-1])
    }
    assert len(texts) == 2


def test_sound_at_another_rate_is_the_same_question(url: str) -> None:
    fast = ask(url, audio=tone(rate_hz=48_000), sample_rate=48_000, task="transcribe")
    check_protocol(fast)
    assert fast.detail["usage"]["question_units"] == 25


def test_turns_do_not_know_of_each_other(url: str) -> None:
    """Six different turns, together and each alone: the same text and the same bytes of sound."""
    spoken = {"output": "speech", "max_audio_ms": 3000}
    turns: list[dict[str, Any]] = [
        {"text": "What is this?", "image": [picture()], **spoken},
        {"audio": tone(), **spoken, "seed": 3},
        {"audio": tone(0.6, hz=330), "image": [picture(seed=4)], **spoken},
        {"text": "Count to ten", "temperature": 1.2, "seed": 5, **spoken},
        {"text": "Hi", "max_tokens": 40},
        {"text": "read this", "task": "speak", "max_audio_ms": 2000, "voice": "中文女"},
    ]
    alone = [ask(url, **turn) for turn in turns]
    with ThreadPoolExecutor(len(turns)) as threads:
        together = list(threads.map(lambda turn: ask(url, **turn), turns * 2))
    for one, other in zip(alone * 2, together, strict=True):
        check_protocol(other)
        assert other.joined("transcript") == one.joined("transcript")
        assert other.joined("text") == one.joined("text")
        assert other.units == one.units and other.samples.tobytes() == one.samples.tobytes()
        assert [r["marks"] for r in other.of("audio")] == [r["marks"] for r in one.of("audio")]


UNARY: list[dict[str, Any]] = [
    {"text": "What is this?", **SHORT},
    {"text": "What is this?", "output": "speech", **SHORT},
    {"audio": tone(), "image": [picture()], "output": "speech", **SHORT},
    {"audio": tone(), "task": "transcribe"},
    {"text": "Read me", "task": "speak", **SHORT},
]


@pytest.mark.parametrize("turn", UNARY, ids=lambda turn: "-".join(turn))
def test_the_unary_turn_says_the_same(url: str, turn: dict[str, Any]) -> None:
    streamed = ask(url, **turn)
    with triton.InferenceServerClient(url) as client:
        whole = client.infer("turn", tensors(turn), client_timeout=60)
    assert whole.as_numpy("reply")[0].decode() == streamed.joined("text")
    assert whole.as_numpy("transcript")[0].decode() == streamed.joined("transcript")
    assert whole.as_numpy("speech_units").tolist() == streamed.units
    assert len(whole.as_numpy("samples")) == len(streamed.samples)
    spoken = json.loads(whole.as_numpy("marks")[0])
    assert spoken == [mark for piece in streamed.of("audio") for mark in json.loads(piece["marks"])]
    detail = json.loads(whole.as_numpy("detail")[0])
    assert detail["usage"] == streamed.detail["usage"]
    assert (detail["timings"]["first_audio_ms"] is None) == (len(streamed.samples) == 0)
