"""Whatever a client sends is read, or refused with a sentence: thousands of cases, tens of thousands at leisure."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from stream_omni.assets import Assets
from stream_omni.image_merge import image_token_count
from stream_omni.prompt import Question, build_prompt
from stream_omni.request_error import RequestError
from stream_omni.serving.errors import InvalidRequestError
from stream_omni.serving.limits import Limits
from stream_omni.serving.request import read_request
from tests.faults.seen import Fault, slowness
from tests.fuzzing import cases
from tests.serving.good_requests import check_good
from tests.serving.hostile_requests import ALL, Inputs

QUICK, LONG = 400, 10_000  # cases of each kind; there are six kinds
CPU_S = 5.0  # of one request, far more than any takes
LONGEST_SENTENCE = 1000
LIMITS = Limits()


@pytest.fixture(scope="module")
def assets(built_directory: Path) -> Assets:
    return Assets.load(built_directory)


def read(inputs: Inputs, assets: Assets) -> bool:
    """As the front door does, up to the first stage. False where it was refused; anything else that is raised fails."""
    began_s = time.process_time()
    try:
        request = read_request(inputs, assets, LIMITS)
        check_good(request, assets)
        units = None if request.audio is None else (1, 2, 3)
        question = Question(request.text, units, len(request.pictures), request.history, request.system)
        try:
            build_prompt(assets.tokenizer, assets.info, question)
        except RequestError as error:  # what preparation makes of it
            raise InvalidRequestError(f"{error}; mend history or system") from error
        for picture in request.pictures:
            assert image_token_count(picture.size, assets.info.image, assets.info.vision) > 0
    except InvalidRequestError as refusal:
        check_sentence(str(refusal))
        return False
    finally:
        assert time.process_time() - began_s < CPU_S
    return True


def check_sentence(sentence: str) -> None:
    assert sentence.startswith("INVALID_ARGUMENT: ") and len(sentence) < LONGEST_SENTENCE
    sentence.encode()  # it travels as UTF-8
    assert not re.search(r"Traceback|File \"|\.py\b|site-packages|/usr/|/home/|object at 0x", sentence)
    assert not any(ord(letter) < 32 for letter in sentence)


def fuzz(kind: str, assets: Assets, count: int, by_chance: bool) -> tuple[int, int]:
    """How many were refused, and let in."""
    accepted = [0, 0]

    @cases(count, by_chance)
    @given(ALL[kind]())
    def run(inputs: Inputs) -> None:
        accepted[read(inputs, assets)] += 1

    run()
    assert min(accepted) > 0, "all were good, or all were bad: it would prove little"
    return accepted[0], accepted[1]


@pytest.mark.parametrize("kind", ALL)
def test_hostile_requests(kind: str, assets: Assets) -> None:
    fuzz(kind, assets, QUICK, by_chance=False)


@pytest.mark.faults
@pytest.mark.parametrize("kind", ALL)
def test_hostile_requests_at_length(kind: str, assets: Assets) -> None:
    fault = Fault("fuzzing requests", kind, "at random", slowness())
    refused, let_in = fuzz(kind, assets, LONG, by_chance=True)
    fault.cases = refused + let_in
    fault.endings = {"refused": refused, "let in, and good": let_in}
    fault.keep()


def text(content: str) -> Any:
    return np.array([content.encode()], object)


def turns(*contents: str) -> Any:
    return text(json.dumps([{"role": "user", "text": content} for content in contents]))


FULL = 99_990
SLOW: dict[str, Inputs] = {
    "one endless word": {"text": text("a" * FULL)},
    "spaces": {"text": text("x" + " " * (FULL - 2) + "x")},
    "line ends": {"text": text("x" + "\r\n" * (FULL // 2 - 2) + "x")},
    "digits": {"text": text("7" * FULL)},
    "marks": {"text": text("'s" * (FULL // 2))},
    "accents": {"text": text("a" + "\u0301" * (FULL - 1))},
    "emoji": {"text": text("👩‍👩‍👧" * (FULL // 8))},
    "half of control tokens": {"text": text("<|eot_id" * (FULL // 8))},
    "nearly control tokens": {"text": text("<|" * (FULL // 2))},
    "the marks of the prompt": {
        "text": text("hi"),
        "history": turns(*("".join(f"<part-{n}>" for n in range(k, k + 7_000)) for k in range(0, 60_000, 7_000))),
    },
    "templates": {"text": text("hi"), "history": turns("{% for i in range(10**9) %}x{% endfor %}" * 2000)},
    "a full history": {"text": text("hi"), "history": turns(*["word " * 990] * 190)},
    "many keys": {"text": text("hi"), "history": text("[" + ",".join(['{"role":1}'] * 90_000) + "]")},
    "a wide object": {"text": text("hi"), "history": text("{" + ",".join(f'"{n}":0' for n in range(90_000)) + "}")},
}


@pytest.mark.parametrize("kind", SLOW)
def test_what_is_meant_to_take_long_does_not(kind: str, assets: Assets) -> None:
    read(SLOW[kind], assets)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size: tuple[int, int], depth: int, *chunks: bytes) -> bytes:
    """Grey."""
    head = struct.pack(">IIBBBBB", *size, depth, 0, 0, 0, 0)
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *chunks, chunk(b"IEND", b"")])


def zeros(count: int) -> bytes:
    """Compressed."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(count // 1_000_000)), packer.flush()])


def many_scans() -> bytes:
    """Of an even picture, so that each is a few bytes and a pass over all pixels."""
    file = io.BytesIO()
    Image.new("L", (4000, 3000), 90).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * 100_000 + content[-2:]


def bombs() -> dict[str, bytes]:
    pixels = chunk(b"IDAT", zlib.compress(bytes(16 * 17)))
    huge = zeros(200_000_000)  # twice what a test may take
    return {
        "pixels": png((30_000, 30_000), 1, chunk(b"IDAT", zeros(1_000_000))),
        "side": png((60_000, 16), 1, chunk(b"IDAT", zeros(1_000_000))),
        "size in the header": png((2**31 - 1, 2**31 - 1), 8, pixels),
        "more than its pixels": png((16, 16), 8, chunk(b"IDAT", huge)),
        "text": png((16, 16), 8, chunk(b"zTXt", b"a\0\0" + huge), pixels),
        "texts": png((16, 16), 8, *[chunk(b"zTXt", b"a\0\0" + zeros(1_000_000))] * 500, pixels),
        "profile": png((16, 16), 8, chunk(b"iCCP", b"a\0\0" + huge), pixels),
        "scans": many_scans(),
    }


# In a process of its own, for its memory: what it says of each file, and how much CPU time and memory more that took.
_DECODE = """
import json, resource, sys, time
from pathlib import Path
from stream_omni.image import ImageError, decode_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
for file in map(Path, sys.argv[1:]):
    content = file.read_bytes()
    before, began_s, told = peak(), time.process_time(), "accepted"
    try:
        decode_image(content)
    except ImageError as error:
        told = str(error)
    print(json.dumps([file.name, told, time.process_time() - began_s, peak() - before]), flush=True)
"""
_HARMLESS = {"profile", "more than its pixels"}  # the rest is left alone, and the picture is one of 16 x 16
_SHORT_S, _FEW_BYTES = 3.0, 100_000_000


def test_bombs_cost_neither_time_nor_memory(tmp_path: Path) -> None:
    for name, content in bombs().items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-c", _DECODE, *map(str, sorted(tmp_path.iterdir()))]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(found) == 8
    for name, told, cpu_s, more_bytes in found:
        assert told != "accepted" or name in _HARMLESS, name
        assert cpu_s < _SHORT_S and more_bytes < _FEW_BYTES, (name, cpu_s, more_bytes)
