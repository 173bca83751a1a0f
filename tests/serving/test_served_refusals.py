"""What a raw client sees of a request that cannot be served: a code, a sentence, and a server that goes on."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import STREAMS_WAITING
from tests.serving.raw_client import Stream, ask, picture, tensors, tone
from tests.serving.scrape import seconds_until


def animation() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    return file.getvalue()


def spoiled(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    samples = tone()
    samples[100] = value
    return samples


# Told by the front door
BAD: dict[str, dict[str, Any]] = {
    "neither text nor audio": {},
    "both text and audio": {"text": "hi", "audio": tone()},
    "empty text": {"text": "  "},
    "NaN": {"audio": spoiled(np.nan)},
    "infinite": {"audio": spoiled(np.inf)},
    "silence": {"audio": np.zeros(16_000, np.float32)},
    "too short": {"audio": tone(0.02)},
    "no samples": {"audio": np.zeros(0, np.float32)},
    "too long": {"audio": tone(30.5)},
    "absurd sample rate": {"audio": tone(), "sample_rate": 3},
    "corrupt picture": {"text": "hi", "image": [b"\x89PNG\r\n\x1a\n" + b"x" * 100]},
    "truncated picture": {"text": "hi", "image": [picture((200, 200))[:-500]]},
    "truncated JPEG": {"text": "hi", "image": [picture((200, 200), "JPEG")[:-500]]},
    "decompression bomb": {"text": "hi", "image": [bomb()]},
    "animated picture": {"text": "hi", "image": [animation()]},
    "too many pictures": {"text": "hi", "image": [picture()] * 5},
    "unknown voice": {"text": "hi", "output": "speech", "voice": "nobody"},
    "unknown task": {"text": "hi", "task": "dance"},
    "unknown output": {"text": "hi", "output": "smoke"},
    "history not JSON": {"text": "hi", "history": "[{"},
    "wrong role": {"text": "hi", "history": json.dumps([{"role": "system", "text": "x"}])},
    "temperature": {"text": "hi", "temperature": 9.0},
    "top_p": {"text": "hi", "top_p": 0.0},
    "max_tokens": {"text": "hi", "max_tokens": -1},
    "over the context": {"text": "why " * 20_000},
    "over the context with its answer": {"text": "why " * 5_000, "max_tokens": 4_096},
    "text not UTF-8": {"text": b"\xff\xfe"},
    "control token": {"text": "hi <image>"},
}
# Told by Triton itself, before any model of ours sees the request
BAD_FOR_TRITON: dict[str, tuple[dict[str, Any], str]] = {
    "wrong dtype": ({"audio": tone().astype(np.float64)}, "'audio' data-type is 'FP64'.*expects 'FP32'"),
    "wrong shape": ({"audio": np.stack([tone(), tone()])}, "unexpected shape for input 'audio'"),
    "two texts": ({"text": ["a", "b"]}, "unexpected shape for input 'text'"),
    "unknown name": ({"text": "hi", "colour": "red"}, "unexpected inference input 'colour'"),
}


@pytest.mark.parametrize("inputs", BAD.values(), ids=BAD.keys())
def test_bad_input(url: str, inputs: dict[str, Any]) -> None:
    other = Stream(url, {"text": "Tell me everything", "output": "speech", "max_audio_ms": 800})
    answered = ask(url, **inputs)
    assert answered.error is not None and not answered.responses
    assert answered.error.startswith("INVALID_ARGUMENT: ") and len(answered.error) < 500
    assert "Traceback" not in answered.error and "/" not in answered.error
    assert other.finish().error is None


@pytest.mark.parametrize(("inputs", "message"), BAD_FOR_TRITON.values(), ids=BAD_FOR_TRITON.keys())
def test_input_that_triton_refuses(url: str, inputs: dict[str, Any], message: str) -> None:
    answered = ask(url, **inputs)
    assert answered.error is not None and re.search(message, answered.error)


def test_a_request_that_is_too_large_in_all(url: str) -> None:
    answered = ask(url, text="hi", image=[bytes(17_000_000)] * 4)
    assert answered.error == (
        "INVALID_ARGUMENT: the request has 68000002 bytes; the limit is 64000000, send fewer or smaller files"
    )
    assert ask(url, text="hi", max_tokens=2).error is None


def test_the_code_of_a_refusal(url: str) -> None:
    """Streams carry only the message; a unary call shows the code."""
    with triton.InferenceServerClient(url) as client, pytest.raises(triton.InferenceServerException) as refusal:
        client.infer("turn", tensors({"text": "hi", "temperature": 9.0}))
    assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "INVALID_ARGUMENT: temperature is 9" in str(refusal.value.message())


@pytest.fixture(scope="module")
def capacity(url: str) -> int:
    return parameter(url, "capacity")


def parameter(url: str, name: str) -> int:
    with triton.InferenceServerClient(url) as client:
        config = client.get_model_config("stream_omni").config
    return int(config.parameters[name].string_value)


def long_turns(url: str, count: int) -> list[Stream]:
    """Turns that speak for long, all of them at it."""
    streams = [Stream(url, {"text": "read me aloud", "task": "speak", "max_audio_ms": 163_000}) for _ in range(count)]
    for stream in streams:
        while (response := stream.next())["event"] != "audio":  # type: ignore[index]
            assert not isinstance(response, str), response
    return streams


def seconds_until_free(url: str, capacity: int) -> float:
    """Until as many turns as there are places can begin."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < 10:
        answers = [Stream(url, {"text": "hi", "output": "speech", "max_audio_ms": 200}) for _ in range(capacity)]
        if all(stream.finish().error is None for stream in answers):
            return time.monotonic() - began_s
    raise AssertionError("the places did not become free")


def test_a_full_server_refuses_and_recovers(server: TritonServer, url: str, capacity: int) -> None:
    """Full: with every place and every chair of the waiting room taken, whoever comes first."""
    streams, chairs = long_turns(url, capacity), parameter(url, "waiting")
    streams += [Stream(url, {"text": "hi"}) for _ in range(chairs)]
    seconds_until(server.metrics_url, lambda now: now(STREAMS_WAITING) == chairs, 5)
    refused = ask(url, text="hi").error
    assert refused is not None and re.match(r"OVERLOADED retry_after_ms=\d+: ", refused)
    for stream in streams:
        stream.close(cancel=True)
    assert seconds_until_free(url, capacity) < 5


@pytest.mark.parametrize("way", ["cancel", "disconnect"])
def test_a_client_that_leaves_frees_its_place(url: str, capacity: int, way: str) -> None:
    """At every phase: one waits for its first response, others have had some."""
    streams = [*long_turns(url, capacity - 1), Stream(url, {"audio": tone(), "image": [picture()], "output": "speech"})]
    for stream in streams:
        stream.close(cancel=True) if way == "cancel" else stream.vanish()
    assert seconds_until_free(url, capacity) < 5


def test_stages_need_no_torch(server: TritonServer) -> None:
    assert server.process is not None
    stubs = [path for path in Path("/proc").glob("[0-9]*") if _group(path) == server.process.pid]
    assert len(stubs) >= 10
    for stub in stubs:
        assert "libtorch" not in (stub / "maps").read_text()


def _group(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return -1
