"""Requests that a fuzzer makes: near enough to good ones to get past the first look, and wrong in every way."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from hypothesis.strategies import SearchStrategy
from PIL import Image

from stream_omni.serving.request import INPUTS

Inputs = dict[str, Any]

_CONTROL = (
    "<image>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<Audio_1>",
    "<part-0>",
    "\x00",
    "\ud800",
    "\u202e",
    "{{",
    "%}",
)
_WORDS = st.one_of(st.text(max_size=60), st.sampled_from(_CONTROL), st.sampled_from(["hi", "a" * 5000, " " * 5000]))
TEXT = st.lists(_WORDS, max_size=4).map("".join)
_BYTES = st.one_of(st.binary(max_size=60), TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))


def _strings(values: SearchStrategy[bytes]) -> SearchStrategy[Any]:
    return st.lists(values, max_size=3).map(_objects) | values.map(lambda value: _objects([value]))


def _objects(values: list[bytes]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _numbers() -> SearchStrategy[Any]:
    """Of every type and shape that a tensor can have."""
    kinds = st.sampled_from([np.int32, np.int64, np.uint64, np.float32, np.float64, np.int8, np.bool_])
    shapes = st.sampled_from([(1,), (1,), (1,), (0,), (2,), (), (1, 1)])
    return st.tuples(kinds, shapes).flatmap(lambda made: arrays.arrays(made[0], made[1]))


_SMALL = {
    "max_tokens": st.integers(-2, 5000).map(lambda n: np.array([n], np.int32)),
    "max_audio_ms": st.integers(-2, 170_000).map(lambda n: np.array([n], np.int32)),
    "temperature": st.floats(-1, 3, width=32).map(lambda x: np.array([x], np.float32)),
    "top_p": st.floats(-1, 2, width=32).map(lambda x: np.array([x], np.float32)),
    "seed": st.integers(0, 2**64 - 1).map(lambda n: np.array([n], np.uint64)),
}


def texts() -> SearchStrategy[Inputs]:
    names = ("task", "text", "output", "system", "voice")
    known = {
        "task": st.sampled_from([b"answer", b"transcribe", b"speak"]),
        "output": st.sampled_from([b"text", b"speech"]),
        "voice": st.sampled_from([b"default", "英文女".encode()]),
    }
    choices = {name: _strings(_BYTES | known.get(name, st.just(b"hello"))) for name in names}
    return st.fixed_dictionaries({}, optional=choices)


def numbers() -> SearchStrategy[Inputs]:
    values = {name: _numbers() | small for name, small in _SMALL.items()}
    values["sample_rate"] = _numbers() | st.integers(-1, 300_000).map(lambda n: np.array([n], np.int32))
    return st.fixed_dictionaries({"text": st.just(_objects([b"hi"]))}, optional=values)


def sounds() -> SearchStrategy[Inputs]:
    samples = st.one_of(
        arrays.arrays(np.float32, st.integers(0, 3000), elements=st.floats(width=32)),
        arrays.arrays(np.float32, st.integers(800, 3000), elements=st.floats(-1, 1, width=32)),
        arrays.arrays(st.sampled_from([np.int16, np.float64, np.float32]), st.sampled_from([(2, 900), (0,), ()])),
        st.integers(0, 700_000).map(lambda n: np.full(n, 0.5, np.float32)),
    )
    rates = st.sampled_from([8000, 16_000, 44_100, 192_000]).map(lambda n: np.array([n], np.int32))
    rest = {"sample_rate": rates | _numbers(), "task": st.just(_objects([b"transcribe"])), **_SMALL}
    return st.fixed_dictionaries({"audio": samples}, optional=rest)


def histories() -> SearchStrategy[Inputs]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
    values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
    turn = st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]) | values, "text": TEXT | values},
        optional={"more": values},
    )
    good = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "text": TEXT})
    documents = (st.lists(good, max_size=6) | st.lists(turn, max_size=6) | values).map(json.dumps)
    depth = st.integers(1, 60_000).flatmap(lambda n: st.sampled_from(["[" * n, '{"a":' * n, "9" * n, '"' + "\\" * n]))
    raw = st.one_of(documents.map(str.encode), depth.map(str.encode), _BYTES, spoiled(documents.map(str.encode)))
    return st.fixed_dictionaries({"text": st.just(_objects([b"hi"])), "history": raw.map(lambda b: _objects([b]))})


def pictures() -> SearchStrategy[Inputs]:
    good = st.sampled_from(some_pictures())
    magic = st.sampled_from(
        [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM", b"II*\0"]
    )
    made = st.tuples(magic, st.binary(max_size=80)).map(b"".join)
    one = st.one_of(good, made, st.binary(max_size=80), spoiled(good))
    images = st.lists(one, max_size=6).map(_objects)
    return st.fixed_dictionaries({"image": images, "text": st.just(_objects([b"what is this"]))})


def everything() -> SearchStrategy[Inputs]:
    """Any input may be anything."""
    values = _numbers() | _strings(_BYTES) | arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32))
    names = st.sampled_from([*INPUTS, "colour", ""])
    wild = st.dictionaries(names, values, max_size=3)
    return st.tuples(st.sampled_from([{}, {"text": _objects([b"hi"])}]), wild).map(lambda parts: parts[0] | parts[1])


ALL = {f.__name__: f for f in (texts, numbers, sounds, histories, pictures, everything)}


@st.composite
def spoiled(draw: Any, source: SearchStrategy[bytes]) -> bytes:
    """Some bytes changed, the end cut, a piece doubled or put elsewhere."""
    content = bytearray(draw(source))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["change", "cut", "double", "insert", "field"])):
            case "change" if content:
                content[at] = draw(st.integers(0, 255))
            case "cut":
                del content[at:]
            case "double":
                content[at:at] = content[at : at + draw(st.integers(1, 60))]
            case "insert":
                content[at:at] = draw(st.binary(max_size=8))
            case "field":  # a size or a length, which decoders believe
                content[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"]))
    return bytes(content)


def some_pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (13, 17, 3), np.uint8)
    colour, made = Image.fromarray(noise), []
    grey16 = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 50
    for image, kind, options in (
        (colour, "PNG", {}),
        (colour.convert("P"), "PNG", {"transparency": 3}),
        (colour.convert("RGBA"), "PNG", {}),
        (colour.convert("1"), "PNG", {}),
        (grey16, "PNG", {}),
        (colour, "JPEG", {"exif": exif}),
        (colour, "JPEG", {"progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour, "WEBP", {}),
        (colour.convert("RGBA"), "WEBP", {"lossless": True}),
        (colour, "GIF", {}),
        (colour, "TIFF", {}),
        (colour, "PNG", {"save_all": True, "append_images": [colour.rotate(90, expand=False)]}),
        (colour, "WEBP", {"save_all": True, "append_images": [colour.rotate(90, expand=False)]}),
    ):
        file = io.BytesIO()
        image.save(file, kind, **options)
        made.append(file.getvalue())
    return made
