"""Fuzzing that follows the branches taken (atheris, libFuzzer), in a process of its own: it ends by ending the process.

``python -m tests.faults.coverage_fuzz PARSER BUILT COUNTS -runs=N CORPUS``; parsers: sound, picture, history, prompt.
What is raised but the product's own refusals is a crash, whose input libFuzzer writes to a file; so is an input that
is let in beyond the limits. How many were refused, and let in, is in the file COUNTS: the process ends without a word.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["stream_omni", "stream_omni_client", "PIL", "jinja2", "json"]):
    import numpy as np
    from stream_omni_client import InvalidRequest
    from stream_omni_client.audio import read_audio

    from stream_omni.assets import Assets
    from stream_omni.prompt import Question, build_prompt
    from stream_omni.request_error import RequestError
    from stream_omni.serving.errors import InvalidRequestError
    from stream_omni.serving.limits import Limits
    from stream_omni.serving.request import read_request

from tests.serving.good_requests import check_good

Parser = Callable[[bytes], bool]  # whether it was let in


def sound(_: Assets) -> Parser:
    def parse(content: bytes) -> bool:
        try:
            samples, rate_hz = read_audio(content)
        except InvalidRequest:
            return False
        assert samples.dtype == np.float32 and samples.ndim == 1 and rate_hz > 0
        return True

    return parse


def picture(assets: Assets) -> Parser:
    return lambda content: _read(assets, text=b"what is this", image=content)


def history(assets: Assets) -> Parser:
    return lambda content: _read(assets, text=b"hi", history=content)


def prompt(assets: Assets) -> Parser:
    def parse(content: bytes) -> bool:
        text, _, system = content.partition(b"\0")
        return _read(assets, text=text, system=system)

    return parse


def _read(assets: Assets, **inputs: bytes) -> bool:
    """As the front door does, up to the first stage."""
    tensors: dict[str, Any] = {name: np.array([content], object) for name, content in inputs.items()}
    try:
        request = read_request(tensors, assets, Limits())
    except InvalidRequestError:
        return False
    check_good(request, assets)
    question = Question(request.text, None, len(request.pictures), request.history, request.system)
    try:
        build_prompt(assets.tokenizer, assets.info, question)
    except RequestError:  # what preparation makes a refusal of
        return False
    return True


def counted(parse: Parser, counts: Any) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        counts[int(parse(content))] += 1

    return run


PARSERS = {parser.__name__: parser for parser in (sound, picture, history, prompt)}

if __name__ == "__main__":
    name, built, file, *flags = sys.argv[1:]
    counts = np.memmap(file, np.int64, "w+", shape=(2,))
    atheris.Setup([sys.argv[0], *flags], counted(PARSERS[name](Assets.load(Path(built))), counts))
    atheris.Fuzz()
