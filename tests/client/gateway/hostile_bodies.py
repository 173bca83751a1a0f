"""What a fuzzer sends the gateway: requests and events that are nearly good, and wrong in every way."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
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


def _encoded(*contents: bytes) -> list[str]:
    return [base64.b64encode(content).decode() for content in contents]


_SOUNDS = _encoded(*FILES, np.zeros(2400, np.int16).tobytes(), b"\0")
_PICTURES = [f"data:image/png;base64,{content}" for content in _encoded(*some_pictures()[:4], b"\x89PNG")]
_URLS = st.sampled_from([*_PICTURES, "https://127.0.0.1/a.png", "file:///etc/passwd", "data:,", ""])


@st.composite
def _object(draw: st.DrawFn, needed: Sequence[str] = (), **good: SearchStrategy[Any]) -> dict[str, Any]:
    """The needed fields and some others, all of them good, but for none to two that are anything."""
    chosen = draw(st.sets(st.sampled_from([*good]), max_size=3))
    made = {name: draw(good[name]) for name in good if name in needed or name in chosen}
    for name in draw(
        st.lists(st.sampled_from([*good, "colour", "\ud800"]), max_size=draw(st.sampled_from([0, 0, 1, 2])))
    ):
        made[name] = draw(ANY)
    return made


def _one_of(*good: Any) -> SearchStrategy[Any]:
    return st.sampled_from(good)


def _parts(kinds: dict[str, tuple[str, SearchStrategy[Any]]]) -> SearchStrategy[Any]:
    """Of a message: each with its type's own field."""
    one = [st.fixed_dictionaries({"type": st.just(kind), field: value}) for kind, (field, value) in kinds.items()]
    return st.one_of(*one, _object(("type", "text"), type=_one_of(*kinds), text=_one_of("hi")))


_CHAT_PARTS = _parts(
    {
        "text": ("text", _one_of("hello")),
        "input_audio": (
            "input_audio",
            _object(("data", "format"), data=_one_of(*_SOUNDS), format=_one_of("wav", "mp3")),
        ),
        "image_url": ("image_url", _object(("url",), url=_URLS, detail=_one_of("auto"))),
    }
)
_MESSAGES = st.lists(
    _object(
        ("role", "content"),
        role=_one_of("user", "user", "assistant", "system"),
        content=_one_of("hello") | st.lists(_CHAT_PARTS, max_size=3),
        input_audio_transcript=_one_of("what"),
    ),
    max_size=4,
)
_GOOD_MESSAGES = st.tuples(_MESSAGES, st.just([{"role": "user", "content": "hello"}])).map(lambda two: two[0] + two[1])


def chats() -> SearchStrategy[Request]:
    body = _object(
        ("model", "messages"),
        model=st.just("stream-omni"),
        messages=_GOOD_MESSAGES | _MESSAGES,
        modalities=_one_of(["text"], ["text", "audio"]),
        audio=_object(("voice", "format"), voice=_one_of("default"), format=_one_of("wav", "pcm16")),
        stream=_one_of(True, False),
        temperature=_one_of(0, 1.5),
        max_tokens=_one_of(1, 50),
        seed=_one_of(1, -1),
        n=_one_of(1),
        stop=_one_of([]),
    )
    return _requests(CHAT, body)


def speeches() -> SearchStrategy[Request]:
    body = _object(
        ("model", "input", "voice"),
        model=st.just("stream-omni"),
        input=_one_of("hello"),
        voice=_one_of("default"),
        response_format=_one_of("mp3", "opus", "flac", "wav", "pcm"),
        stream_format=_one_of("audio", "sse"),
        speed=_one_of(1),
        max_audio_ms=_one_of(40, 400),
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
    item_ids, sounds = _one_of("item_1", "item_2", "root"), _one_of(*_SOUNDS[-2:])
    forms = _one_of({"type": "audio/pcm", "rate": 24_000}, {"type": "audio/pcmu"})
    parts = _parts(
        {
            "input_text": ("text", _one_of("hello")),
            "input_audio": ("audio", sounds),
            "input_image": ("image_url", _URLS),
            "output_text": ("text", _one_of("hello")),
        }
    )
    item = _object(
        ("type", "role", "content"),
        type=st.just("message"),
        role=_one_of("user", "assistant"),
        id=item_ids,
        content=st.lists(parts, min_size=1, max_size=3),
    )
    sound = _object(
        input=_object(format=forms, turn_detection=_one_of(None, {"type": "server_vad"})),
        output=_object(format=forms, voice=_one_of("default")),
    )
    made = {
        "instructions": _one_of("be short"),
        "output_modalities": _one_of(["text"], ["audio"]),
        "max_output_tokens": _one_of("inf", 5),
    }
    session = _object(("type",), type=st.just("realtime"), audio=sound, **made)
    fields: dict[str, dict[str, SearchStrategy[Any]]] = {
        "session.update": {"session": session},
        "input_audio_buffer.append": {"audio": sounds},
        "input_audio_buffer.commit": {},
        "input_audio_buffer.clear": {},
        "conversation.item.create": {"item": item},
        "conversation.item.delete": {"item_id": item_ids},
        "conversation.item.truncate": {
            "item_id": item_ids,
            "content_index": _one_of(0),
            "audio_end_ms": _one_of(0, 100),
        },
        "response.create": {"response": _object(audio=sound, input=st.lists(item, max_size=2), **made)},
        "response.cancel": {},
    }
    known = [_object(("type", *own), type=st.just(kind), **own) for kind, own in fields.items()]
    told = st.one_of(*known).map(json.dumps)
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


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


ALL = {made.__name__: made for made in (chats, speeches, transcriptions, anything)}
