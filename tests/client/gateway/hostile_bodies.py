"""What a fuzzer sends the gateway: requests and events that are nearly good, and wrong in every way."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.client.test_fuzz_files import FILES
from tests.client.test_fuzz_files import spoiled as spoiled_files
from tests.serving.hostile_requests import TEXT, some_pictures, spoiled

Request = tuple[str, str, bytes]  # path, content type, body
JSON, BOUNDARY = "application/json", "a-boundary"
CHAT, SPEECH, TRANSCRIPTIONS = "/v1/chat/completions", "/v1/audio/speech", "/v1/audio/transcriptions"
PATHS = (CHAT, SPEECH, TRANSCRIPTIONS, "/v1/models", "/v1/realtime", "/health")

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["", "a" * 5000, 10**400])
ANY = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def _either(*good: Any) -> SearchStrategy[Any]:
    """Mostly one of the good values."""
    values = st.sampled_from(good)
    return values | values | values | ANY


def _encoded(*contents: bytes) -> list[str]:
    return [base64.b64encode(content).decode() for content in contents]


_SOUNDS = _encoded(*FILES, np.zeros(2400, np.int16).tobytes(), b"\0")
_PICTURES = [f"data:image/png;base64,{content}" for content in _encoded(*some_pictures()[:4], b"\x89PNG")]
_URLS = st.sampled_from([*_PICTURES, "https://127.0.0.1/a.png", "file:///etc/passwd", "data:,", ""])


def _objects(**fields: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """Some of the fields, and seldom an unknown one."""
    known = st.fixed_dictionaries({}, optional=fields)
    return known | known | st.tuples(known, st.dictionaries(TEXT, ANY, max_size=1)).map(lambda two: two[0] | two[1])


def _parts(kinds: dict[str, tuple[str, SearchStrategy[Any]]]) -> SearchStrategy[Any]:
    """Of a message: each with its type's own field."""
    one = [st.fixed_dictionaries({"type": st.just(kind), field: value}) for kind, (field, value) in kinds.items()]
    return st.one_of(*one, _objects(type=_either(*kinds), text=_either("hi")))


_CHAT_PARTS = _parts(
    {
        "text": ("text", _either("hello")),
        "input_audio": ("input_audio", _objects(data=_either(*_SOUNDS), format=_either("wav", "mp3"))),
        "image_url": ("image_url", _objects(url=_URLS, detail=_either("auto"))),
    }
)
_MESSAGES = st.lists(
    _objects(
        role=_either("user", "user", "assistant", "system"),
        content=_either("hello") | st.lists(_CHAT_PARTS, max_size=3),
        input_audio_transcript=_either("what"),
    ),
    max_size=4,
)
_GOOD_MESSAGES = st.tuples(_MESSAGES, st.just([{"role": "user", "content": "hello"}])).map(lambda two: two[0] + two[1])


def chats() -> SearchStrategy[Request]:
    body = _objects(
        model=st.just("stream-omni"),
        messages=_GOOD_MESSAGES | _MESSAGES | ANY,
        modalities=_either(["text"], ["text", "audio"]),
        audio=_objects(voice=_either("default"), format=_either("wav", "pcm16")),
        stream=_either(True, False),
        temperature=_either(0, 1.5),
        max_tokens=_either(1, 50),
        seed=_either(1, -1),
        n=_either(1),
        stop=_either([]),
    )
    return _requests(CHAT, body)


def speeches() -> SearchStrategy[Request]:
    body = _objects(
        model=st.just("stream-omni"),
        input=_either("hello"),
        voice=_either("default"),
        response_format=_either("mp3", "opus", "flac", "wav", "pcm"),
        stream_format=_either("audio", "sse"),
        speed=_either(1),
        max_audio_ms=_either(40, 400),
    )
    return _requests(SPEECH, body)


def transcriptions() -> SearchStrategy[Request]:
    """Forms, whole and spoiled."""
    words = st.sampled_from(["stream-omni", "json", "text", "verbose_json", "true", "0", "", "auto"]) | TEXT
    names = st.sampled_from(
        ["model", "model", "response_format", "stream", "language", "temperature", "prompt", "a\r\nb"]
    )
    fields = st.dictionaries(names, words.map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=4)
    files = st.sampled_from(FILES) | spoiled_files() | st.binary(max_size=60)
    form = st.tuples(fields, files).map(lambda made: _form({"model": b"stream-omni"} | made[0], made[1]))
    kinds = st.sampled_from([f"multipart/form-data; boundary={BOUNDARY}"] * 5 + ["multipart/form-data", JSON])
    return st.tuples(st.just(TRANSCRIPTIONS), kinds, form | form | spoiled(form))


def anything() -> SearchStrategy[Request]:
    kinds = st.sampled_from(
        [JSON, "multipart/form-data; boundary=x", "text/plain", "", "application/json; charset=\xff"]
    )
    depth = st.integers(1, 60_000).flatmap(lambda n: st.sampled_from(["[" * n, '{"a":' * n, "9" * n]))
    return st.tuples(st.sampled_from(PATHS), kinds, st.binary(max_size=80) | depth.map(str.encode))


def events() -> SearchStrategy[list[str]]:
    """Of a realtime session, some in a row."""
    item_ids, sounds = _either("item_1", "item_2", "root"), _either(*_SOUNDS[-2:])
    forms = _either({"type": "audio/pcm", "rate": 24_000}, {"type": "audio/pcmu"})
    parts = _parts(
        {
            "input_text": ("text", _either("hello")),
            "input_audio": ("audio", sounds),
            "input_image": ("image_url", _URLS),
            "output_text": ("text", _either("hello")),
        }
    )
    item = _objects(
        type=st.just("message"), role=_either("user", "assistant"), id=item_ids, content=st.lists(parts, max_size=3)
    )
    sound = _objects(
        input=_objects(format=forms, turn_detection=_either(None, {"type": "server_vad"})),
        output=_objects(format=forms, voice=_either("default")),
    )
    made = {
        "instructions": _either("be short"),
        "output_modalities": _either(["text"], ["audio"]),
        "max_output_tokens": _either("inf", 5),
    }
    one = _objects(
        type=_either(
            *("session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"),
            *("conversation.item.create", "conversation.item.create", "conversation.item.delete"),
            *("conversation.item.truncate", "response.create", "response.cancel"),
        ),
        event_id=_either("event_1"),
        session=_objects(type=st.just("realtime"), audio=sound, **made),
        audio=sounds,
        item=item,
        previous_item_id=item_ids,
        item_id=item_ids,
        content_index=_either(0),
        audio_end_ms=_either(0, 100),
        response=_objects(audio=sound, input=st.lists(item, max_size=2), **made),
        response_id=_either("resp_1"),
    )
    told = one.map(_narrowed).map(json.dumps)
    raw = spoiled(told.map(str.encode)).map(lambda content: content.decode("utf-8", "replace"))
    return st.lists(told | told | raw | TEXT.map(_writable), min_size=1, max_size=4)


def _requests(path: str, body: SearchStrategy[Any]) -> SearchStrategy[Request]:
    good = body.map(json.dumps).map(str.encode)
    return st.tuples(st.just(path), st.just(JSON), good | good | spoiled(good))


def _form(fields: dict[str, bytes], file: bytes) -> bytes:
    lines = []
    for name, value in fields.items():
        lines += [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode(), value, b"\r\n"]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return b"".join([*lines, head.encode(), file, f"\r\n--{BOUNDARY}--\r\n".encode()])


_FIELDS = {
    "session.update": {"session"},
    "input_audio_buffer.append": {"audio"},
    "conversation.item.create": {"item", "previous_item_id"},
    "conversation.item.delete": {"item_id"},
    "conversation.item.truncate": {"item_id", "content_index", "audio_end_ms"},
    "response.create": {"response"},
    "response.cancel": {"response_id"},
}


def _narrowed(event: dict[str, Any]) -> dict[str, Any]:
    """An event of a known type, to what belongs to it: else it would be refused for the rest."""
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        return event
    return {name: value for name, value in event.items() if name in {"type", "event_id", *_FIELDS[kind]}}


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


ALL = {made.__name__: made for made in (chats, speeches, transcriptions, anything)}
