"""Every bad input is refused with a sentence that names the problem, the limit and the mend; good ones are read."""

from __future__ import annotations

import io
import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stream_omni.prompt import Message
from stream_omni.serving.errors import InvalidRequestError
from stream_omni.serving.limits import Limits
from stream_omni.serving.request import INPUTS, TurnRequest, read_request

LIMITS = Limits(max_pictures=2, max_picture_bytes=100_000, max_picture_pixels=1_000_000, max_text_characters=100)


class _Words:
    """As much of a tokenizer as validation asks for."""

    def find_control_token(self, text: str) -> str | None:
        found = re.search(r"<\|eot_id\|>|<image>|<Audio_\d+>", text)
        return found[0] if found else None


ASSETS: Any = SimpleNamespace(voices={"英文女": None, "中文男": None}, tokenizer=_Words())


def read(**inputs: Any) -> TurnRequest:
    return read_request({name: tensor(value) for name, value in inputs.items()}, ASSETS, LIMITS)


def tensor(value: Any) -> np.ndarray:  # type: ignore[type-arg]
    match value:
        case np.ndarray():
            return value
        case str():
            return np.array([value.encode()], object)
        case bytes():
            return np.array([value], object)
        case list():
            return np.array([*value, None], object)[:-1]
        case int():
            return np.array([value], np.int32)
        case float():
            return np.array([value], np.float32)
    raise TypeError(value)


def tone(seconds: float = 0.5, rate_hz: int = 16_000) -> np.ndarray:  # type: ignore[type-arg]
    return np.sin(np.arange(int(seconds * rate_hz)) / 10).astype(np.float32) / 2


def picture(size: tuple[int, int] = (40, 30), kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def animation() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def history(*turns: Any) -> str:
    return json.dumps(list(turns))


def test_defaults() -> None:
    request = read(text="hi")
    assert (request.task, request.output, request.mode, request.voice) == ("answer", "text", "text_to_text", "default")
    assert (request.temperature, request.top_p, request.seed, request.max_tokens) == (0, 1, 0, None)
    assert (request.audio, request.pictures, request.history, request.system) == (None, (), (), None)
    assert request.max_audio_ms == LIMITS.default_audio_out_ms


def test_everything_at_once() -> None:
    request = read(
        audio=tone(rate_hz=44_100),
        sample_rate=44_100,
        image=[picture(), picture(kind="JPEG")],
        output="speech",
        history=history({"role": "user", "text": "你好"}, {"role": "assistant", "text": ""}),
        system="Be brief.",
        voice="英文女",
        max_tokens=7,
        max_audio_ms=1000,
        temperature=0.7,
        top_p=0.9,
        seed=np.array([2**64 - 1], np.uint64),
    )
    assert request.mode == "speech_to_speech"
    assert [p.size for p in request.pictures] == [(40, 30), (40, 30)]
    assert request.history == (Message("user", "你好"), Message("assistant", ""))
    assert (request.voice, request.system, request.seed) == ("英文女", "Be brief.", 2**64 - 1)
    assert (request.max_tokens, request.max_audio_ms, request.sample_rate_hz) == (7, 1000, 44_100)


def test_tasks() -> None:
    assert read(task="speak", text="hi").mode == "text_to_speech"
    assert read(task="transcribe", audio=tone()).mode == "speech_to_text"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "neither text nor audio; send exactly one"),
    "both": ({"text": "hi", "audio": tone()}, "both text and audio; send exactly one"),
    "unknown input": ({"text": "hi", "colour": "red"}, "no input colour; the inputs are task, text"),
    "unknown task": ({"text": "hi", "task": "sing"}, "task is 'sing'; it can be answer or transcribe or speak"),
    "unknown output": ({"text": "hi", "output": "video"}, "output is 'video'; it can be text or speech"),
    "empty text": ({"text": " \n"}, "text is empty; send"),
    "long text": ({"text": "x" * 101}, "text has 101 characters; the limit is 100, shorten"),
    "text not UTF-8": ({"text": b"a\xff"}, r"text is not UTF-8 \(byte 1\); send UTF-8"),
    "system not UTF-8": ({"text": "a", "system": b"\xc3"}, "system is not UTF-8"),
    "control token": ({"text": "bye<|eot_id|>"}, r"holds <\|eot_id\|>, which controls the model"),
    "control token in system": ({"text": "a", "system": "<image>"}, "holds <image>"),
    "control token in history": (
        {"text": "a", "history": history({"role": "user", "text": "<Audio_1>"})},
        "holds <Audio_1>",
    ),
    "NaN samples": ({"audio": np.where(np.arange(8000) == 7, np.float32(np.nan), tone())}, r"NaN.*sample 7.*finite"),
    "infinite": ({"audio": np.where(np.arange(8000) == 9, np.float32(np.inf), tone())}, "infinity"),
    "silence": ({"audio": np.zeros(8000, np.float32)}, "silent.*check the microphone"),
    "too loud": ({"audio": tone() * 30000}, "between -1 and 1, divide"),
    "no samples": ({"audio": np.zeros(0, np.float32)}, "lasts 0 ms; at least 100 ms"),
    "short": ({"audio": tone(0.05)}, "lasts 50 ms; at least 100 ms"),
    "long": ({"audio": tone(31)}, r"lasts 31\.0 s at 16000 Hz; the limit is 30 s, ask in shorter pieces"),
    "stereo": ({"audio": np.ones((2, 8000), np.float32)}, r"shape \[2, 8000\]; send mono"),
    "integer samples": ({"audio": np.ones(8000, np.int16)}, "int16.*send mono samples as FP32"),
    "slow rate": ({"audio": tone(), "sample_rate": 1}, "sample_rate is 1; it can be 8000 to 192000 Hz"),
    "negative rate": ({"audio": tone(), "sample_rate": -16000}, "sample_rate is -16000"),
    "rate without audio": ({"text": "hi", "sample_rate": 16000}, "sample_rate belongs to audio"),
    "not a picture": ({"text": "hi", "image": [b"hello"]}, "picture 1: .*JPEG, PNG or WebP"),
    "truncated picture": ({"text": "hi", "image": [picture(), picture()[:-200]]}, "picture 2: .*truncated or corrupt"),
    "bomb": ({"text": "hi", "image": [picture((4000, 4000), "JPEG", quality=1)[:90_000]]}, "picture 1: "),
    "many bytes": ({"text": "hi", "image": [picture((400, 400))]}, "bytes; the limit is 100000, send it smaller"),
    "animation": ({"text": "hi", "image": [animation()]}, "picture 1: .*(frames|still|animat)"),
    "too many pictures": ({"text": "hi", "image": [picture()] * 3}, "3 pictures; the limit is 2"),
    "unknown voice": ({"text": "hi", "voice": "Bob"}, "no voice 'Bob'; the voices are default, 中文男, 英文女"),
    "history not JSON": ({"text": "hi", "history": "{"}, r"not JSON \(position 1\); send a JSON list"),
    "history nested": ({"text": "hi", "history": "[" * 100_000}, "not JSON; send a JSON list"),
    "history of a huge number": ({"text": "hi", "history": "9" * 5000}, "not JSON; send a JSON list"),
    "history not a list": ({"text": "hi", "history": "{}"}, "not a list; send"),
    "history of words": ({"text": "hi", "history": '["a"]'}, "turn 0 of history"),
    "wrong role": ({"text": "hi", "history": history({"role": "system", "text": ""})}, "unknown role; send"),
    "role of a list": ({"text": "hi", "history": history({"role": [], "text": ""})}, "unknown role; send"),
    "extra key": ({"text": "hi", "history": history({"role": "user", "text": "", "x": 1})}, "exactly role and text"),
    "text no string": ({"text": "hi", "history": history({"role": "user", "text": 1})}, "exactly role and text"),
    "half a character": ({"text": "hi", "history": history({"role": "user", "text": "\ud800"})}, "not UTF-8"),
    "many turns": ({"text": "hi", "history": history(*[{"role": "user", "text": ""}] * 201)}, "201 turns; the limit"),
    "cold": ({"text": "hi", "temperature": -0.1}, "temperature is -0.1; it can be 0 to 2"),
    "hot": ({"text": "hi", "temperature": 2.5}, "temperature is 2.5"),
    "NaN temperature": ({"text": "hi", "temperature": float("nan")}, "temperature is nan"),
    "no nucleus": ({"text": "hi", "top_p": 0.0}, "top_p is 0; it can be above 0 and at most 1"),
    "large nucleus": ({"text": "hi", "top_p": 1.5}, "top_p is 1.5"),
    "no tokens": ({"text": "hi", "max_tokens": 0}, "max_tokens is 0; it can be 1 to 4096 tokens"),
    "too many tokens": ({"text": "hi", "max_tokens": 5000}, "max_tokens is 5000"),
    "no audio": ({"text": "hi", "max_audio_ms": 0}, "max_audio_ms is 0; it can be 40 to 163840 ms"),
    "two texts": ({"text": ["a", "b"]}, r"text is object of shape \[2\]; send one value of shape \[1\]"),
    "text as a number": ({"text": 3}, r"text is int32 of shape \[1\]; send one value of shape \[1\], BYTES"),
    "seed below zero": ({"text": "hi", "seed": -1}, "seed is -1; it can be 0 to 18446744073709551615$"),
    "seed as a fraction": ({"text": "hi", "seed": 0.5}, "seed is float32.*a whole number"),
    "transcribe text": ({"text": "hi", "task": "transcribe"}, "transcribe needs audio"),
    "transcribe aloud": ({"audio": tone(), "task": "transcribe", "output": "speech"}, "transcribe makes no speech"),
    "transcribe a picture": ({"audio": tone(), "task": "transcribe", "image": [picture()]}, "no use for image"),
    "speak audio": ({"audio": tone(), "task": "speak"}, "speak needs text"),
    "speak about": ({"text": "hi", "task": "speak", "history": "[]"}, "no use for history; leave it away"),
}


@pytest.mark.parametrize(("inputs", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_input(inputs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence) as refusal:
        read(**inputs)
    message = str(refusal.value)
    assert message.startswith("INVALID_ARGUMENT: ") and "\n" not in message and len(message) < 400


def test_every_input_of_the_protocol_is_known() -> None:
    assert len(INPUTS) == 14
