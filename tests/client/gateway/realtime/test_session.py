"""A session by OpenAI's own package, in front of the server that does what it is told."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import OpenAI
from PIL import Image

from tests.client.gateway.gateway_process import GatewayProcess
from tests.client.gateway.realtime.talk import Talk, decoded, refusal, silence, spoken_question, talk

TEXT, HEARD = "Grüße, 世界", "what is this"  # of the server's echo
SINGING = {"instructions": "sing", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}


def picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_a_session_tells_how_it_is_set_up(openai: OpenAI) -> None:
    with talk(openai) as session:
        told = session.events[0].session
    assert (told.type, told.model, told.output_modalities) == ("realtime", "stream-omni", ["audio"])
    assert told.audio.input.format.rate == told.audio.output.format.rate == 24000
    detection = told.audio.input.turn_detection
    assert (detection.type, detection.threshold, detection.create_response) == ("server_vad", 0.5, True)
    assert (detection.prefix_padding_ms, detection.silence_duration_ms) == (300, 500)
    assert told.voices == ["default", "英文女"]


def test_what_is_not_changed_stays(openai: OpenAI) -> None:
    with talk(openai) as session:
        first = session.update(instructions="be kind", audio={"output": {"voice": "英文女"}})
        assert (first.instructions, first.audio.output.voice) == ("be kind", "英文女")
        detection: Any = {"type": "server_vad", "silence_duration_ms": 200, "create_response": False}
        second = session.update(audio={"input": {"turn_detection": detection}}, max_output_tokens=7)
        assert (second.instructions, second.audio.output.voice, second.max_output_tokens) == ("be kind", "英文女", 7)
        told = second.audio.input.turn_detection
        assert (told.silence_duration_ms, told.prefix_padding_ms, told.create_response) == (200, 300, False)
        third = session.update(audio={"input": {"turn_detection": None}}, max_output_tokens="inf", instructions="")
        assert (third.audio.input.turn_detection, third.max_output_tokens, third.instructions) == (None, "inf", None)


def test_a_written_question_gets_a_written_answer(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.write("hello", output_modalities=["text"], metadata={"topic": "greeting"})
        done = session.until("response.done").response
    assert session.kinds() == [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert (done.status, done.output[0].content[0].text, done.metadata) == ("completed", TEXT, {"topic": "greeting"})
    assert session.text() == session.all("response.output_text.done")[0].text == TEXT
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (7, 3, 10)
    question, answer = (event.item for event in session.all("conversation.item.done"))
    assert session.all("conversation.item.done")[1].previous_item_id == question.id
    assert answer.id == done.output[0].id


def test_a_spoken_answer_comes_with_its_text_and_its_marks(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.write("hello")
        done = session.until("response.done").response
    assert done.output[0].content[0].transcript == session.text() == TEXT
    deltas = session.all("response.output_audio.delta")
    sound = np.concatenate([decoded(delta.delta) for delta in deltas])
    assert len(sound) == 8820 * 24_000 // 22_050  # of two pieces of 0.2 s
    assert np.array_equal(sound[2:-40:1000] // 1000, np.arange(len(sound))[2:-40:1000] * 147 // 160 // 1000)  # the ramp
    assert [mark for delta in deltas for mark in delta.marks] == [[0, 5, 0], [7, 9, 200]]
    starts = np.cumsum([0] + [len(decoded(delta.delta)) for delta in deltas[:-1]]) * 1000 // 24_000
    assert [delta.start_ms for delta in deltas] == list(starts)
    kinds = session.kinds()
    assert kinds.index("response.output_audio.done") > kinds.index("response.output_audio.delta")
    assert kinds[-5:] == [
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]


def test_a_spoken_question_is_heard_and_answered(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.say(np.concatenate([silence(0.6), spoken_question(), silence(1)]))
        done = session.until("response.done").response
    started = session.all("input_audio_buffer.speech_started")[0]
    stopped = session.all("input_audio_buffer.speech_stopped")[0]
    committed = session.all("input_audio_buffer.committed")[0]
    assert 300 < started.audio_start_ms < 900
    assert 2800 < stopped.audio_end_ms < 3600
    completed = session.all("conversation.item.input_audio_transcription.completed")[0]
    assert started.item_id == stopped.item_id == committed.item_id == completed.item_id
    assert completed.transcript == HEARD
    assert completed.usage.seconds == pytest.approx((stopped.audio_end_ms - started.audio_start_ms) / 1000, abs=0.01)
    deltas = session.all("conversation.item.input_audio_transcription.delta")
    assert "".join(delta.delta for delta in deltas) == HEARD
    assert done.status == "completed"
    kinds = session.kinds()
    transcribed = kinds.index("conversation.item.input_audio_transcription.completed")
    assert transcribed < kinds.index("response.output_audio_transcript.delta")


def test_press_to_talk(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.update(audio={"input": {"turn_detection": None}}, output_modalities=["text"])
        session.say(spoken_question())
        session.connection.input_audio_buffer.commit()
        session.connection.response.create()
        session.until("response.done")
        assert session.all("conversation.item.input_audio_transcription.completed")[0].transcript == HEARD
        session.say(spoken_question())
        session.connection.input_audio_buffer.clear()
        session.until("input_audio_buffer.cleared")
        session.connection.input_audio_buffer.commit()
        assert refusal(session).code == "input_audio_buffer_commit_empty"
    assert not session.all("input_audio_buffer.speech_started")


def test_speech_that_is_not_to_be_answered_is_transcribed_all_the_same(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.update(audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}})
        session.say(np.concatenate([spoken_question(), silence(1)]))
        completed = session.until("conversation.item.input_audio_transcription.completed")
        assert completed.transcript == HEARD
        assert not session.all("response.created")
        session.write("report", output_modalities=["text"])
        session.until("response.done")
        history = json.loads(json.loads(session.text())["history"][0])
        assert history == [{"role": "user", "text": HEARD}]


def test_who_wants_no_transcripts_gets_none(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.update(audio={"input": {"transcription": None}})
        session.say(np.concatenate([spoken_question(), silence(1)]))
        session.until("response.done")
    assert not [kind for kind in session.kinds() if "transcription" in kind]


def test_what_reaches_the_server(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.update(instructions="be kind", output_modalities=["text"], audio={"output": {"voice": "英文女"}})
        session.write("hello")
        session.until("response.done")
        item: Any = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": picture()}]}
        session.connection.conversation.item.create(item=item)
        session.write("report", max_output_tokens=5)
        session.until("response.done")
        told = json.loads(session.text())
    assert (told["system"], told["voice"], told["max_tokens"]["first"]) == (["be kind"], ["英文女"], 5)
    assert (told["text"], told["output"], len(told["image"])) == (["report"], ["text"], 1)
    assert json.loads(told["history"][0]) == [{"role": "user", "text": "hello"}, {"role": "assistant", "text": TEXT}]


def test_who_speaks_interrupts_and_only_what_was_heard_is_remembered(openai: OpenAI, gateway: GatewayProcess) -> None:
    with talk(openai) as session:
        session.update(**SINGING)
        session.say(np.concatenate([spoken_question(), silence(0.6)]))
        while len(session.all("response.output_audio.delta")) < 8:  # 1.6 s of sound
            session.receive()
        session.say(spoken_question())  # over the answer
        done = session.until("response.done").response
        assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")
        assert session.events[-1].type == "response.done"
        item_id = done.output[0].id
        session.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=500)
        truncated = session.until("conversation.item.truncated")
        assert (truncated.audio_end_ms, truncated.transcript) == (500, "la la la")
        session.update(instructions="", output_modalities=["text"])
        session.say(silence(0.8))
        session.until("response.done")
        session.write("report")
        session.until("response.done")
        history = json.loads(json.loads(session.text())["history"][0])
    assert history[:3] == [
        {"role": "user", "text": "sing to me"},
        {"role": "assistant", "text": "la la la"},
        {"role": "user", "text": HEARD},
    ]
    cancelled = [event for event in session.all("response.output_audio.delta") if event.response_id == done.id]
    assert session.events.index(cancelled[-1]) < session.events.index(session.all("response.done")[0])


def test_who_truncates_nothing_is_taken_for_one_who_heard_what_time_allows(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.write("sing")
        first = session.until("response.output_audio.delta")
        began_s = time.monotonic()
        while len(session.all("response.output_audio.delta")) < 10:  # 2 s of sound within half a second
            session.receive()
        session.connection.response.cancel()
        done = session.until("response.done").response
        elapsed_s = time.monotonic() - began_s
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
        session.write("report", output_modalities=["text"])
        session.until("response.done")
        history = json.loads(json.loads(session.text())["history"][0])
    assert first.response_id == done.id
    words = history[1]["text"].split()
    assert 1 <= len(words) <= elapsed_s / 0.2 + 2 < 10


def test_a_cancelled_turn_has_left_the_server(openai: OpenAI) -> None:
    with talk(openai) as session:
        before = int(_ask(session, "cancelled"))
        session.write("sing")
        session.until("response.output_audio.delta")
        session.connection.response.cancel(response_id=session.all("response.created")[-1].response.id)
        session.until("response.done")
        deadline_s = time.monotonic() + 10
        while int(_ask(session, "cancelled")) == before:
            assert time.monotonic() < deadline_s


def test_who_leaves_in_the_middle_frees_his_turn(openai: OpenAI) -> None:
    with talk(openai) as watcher:
        before = int(_ask(watcher, "cancelled"))
        with talk(openai) as session:
            session.write("sing")
            session.until("response.output_audio.delta")
        deadline_s = time.monotonic() + 10
        while int(_ask(watcher, "cancelled")) == before:
            assert time.monotonic() < deadline_s


def _ask(session: Talk, text: str) -> str:
    session.write(text, output_modalities=["text"])
    session.until("response.done")
    return session.text()


def test_an_answer_on_the_side_leaves_no_trace(openai: OpenAI) -> None:
    with talk(openai) as session:
        given: Any = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "report"}]}]
        session.connection.response.create(
            response={"conversation": "none", "input": given, "output_modalities": ["text"]}
        )
        done = session.until("response.done").response
        assert (done.status, done.conversation_id) == ("completed", None)
        assert json.loads(session.text())["text"] == ["report"]
        assert not session.all("conversation.item.added")
        session.connection.response.create()
        assert refusal(session).code == "nothing_to_answer"


def test_items_can_be_deleted_and_referred_to(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.write("hello", output_modalities=["text"])
        session.until("response.done")
        question, answer = (event.item.id for event in session.all("conversation.item.done"))
        session.connection.conversation.item.delete(item_id=answer)
        assert session.until("conversation.item.deleted").item_id == answer
        reference: Any = [{"type": "item_reference", "id": question}]
        session.connection.response.create(response={"input": reference, "output_modalities": ["text"]})
        assert session.until("response.done").response.status == "completed"
        session.connection.conversation.item.delete(item_id=answer)
        assert refusal(session).code == "item_not_found"


def test_speech_longer_than_a_question_may_be_loses_nothing(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.update(output_modalities=["text"])
        long = np.concatenate([spoken_question()[4800:48_000]] * 18)  # 32.4 s without a pause
        session.say(np.concatenate([long, silence(1)]))
        session.until("response.done")
        first, second = session.all("input_audio_buffer.committed")
        assert second.previous_item_id == first.item_id
        assert len(session.all("response.created")) == 1
        transcribed = {event.item_id for event in session.all("conversation.item.input_audio_transcription.completed")}
        assert transcribed == {first.item_id, second.item_id}


@pytest.mark.parametrize("form", ["audio/pcmu", "audio/pcma"])
def test_the_telephone_s_formats(openai: OpenAI, form: str) -> None:
    with talk(openai) as session:
        told = session.update(audio={"input": {"format": {"type": form}}, "output": {"format": {"type": form}}})
        assert (told.audio.input.format.type, told.audio.output.format.type) == (form, form)
        session.write("hello")
        session.until("response.done")
        sound = b"".join(base64.b64decode(event.delta) for event in session.all("response.output_audio.delta"))
        assert len(sound) == 8000 * 0.4


def test_a_conversation_too_long_for_the_model_drops_its_oldest_turns(openai: OpenAI, tmp_path: Path) -> None:
    """The server that does what it is told refuses long histories as the real one does."""
    with talk(openai) as session:
        for number in range(6):
            text = f"turn {number}"
            content: Any = [{"type": "input_text", "text": text}]
            session.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        session.write("narrow 2", output_modalities=["text"])
        assert session.until("response.done").response.status == "completed"
        history = json.loads(session.text())
        assert [turn["text"] for turn in history] == ["turn 5"]
        session.update(truncation="disabled")
        session.write("narrow 2", output_modalities=["text"])
        assert "the context holds" in refusal(session).message
