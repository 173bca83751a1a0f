"""Turns of several kinds at once, by clients of plain gRPC and HTTP that set no timeout of any kind."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.faults.supervised import Supervised
from tests.serving.http_client import HttpTurn, samples
from tests.serving.raw_client import picture, tensors, tone

SPOKEN_MS = 15_000
KINDS: dict[str, dict[str, Any]] = {
    "text": {"text": "Tell me a tale", "max_tokens": 800, "temperature": 1.5, "seed": 3},
    "speak": {"text": "again", "task": "speak", "max_audio_ms": SPOKEN_MS},
    "endless": {"text": "again", "task": "speak", "max_audio_ms": 163_000},
    "question": {
        "audio": tone(),
        "image": [picture()],
        "output": "speech",
        "max_audio_ms": SPOKEN_MS,
        "max_tokens": 60,
    },
    "picture": {
        "text": "Tell me of it",
        "image": [picture((90, 60))],
        "max_tokens": 600,
        "temperature": 1.5,
        "seed": 4,
    },
    "listen": {"audio": tone(2.0, hz=330), "max_tokens": 600, "temperature": 1.5, "seed": 5},
    "whole": {"audio": tone(hz=180), "output": "speech", "max_audio_ms": SPOKEN_MS, "max_tokens": 60},
}
UNARY = {"whole", "whole endless", "whole pictures"}  # a call of the ensemble `turn`, all of it in one answer
OVER_HTTP = {"text over HTTP": "text", "speak over HTTP": "speak"}  # and what each is over gRPC
KINDS |= {kind: KINDS[same] for kind, same in OVER_HTTP.items()}
KINDS["whole endless"] = KINDS["endless"]
KINDS["whole pictures"] = {"audio": tone(20.0), "image": [picture((1500, 1000))] * 4, "max_tokens": 4}
_SPEECH = {"speech_bottom", "speech_top", "cosyvoice_flow", "vocoder"}
NEEDS: dict[str, set[str]] = {
    "text": {"llm"},
    "speak": _SPEECH,
    "endless": _SPEECH,
    "question": {"llm", "speech_tokenizer", "vision_encoder", *_SPEECH},
    "picture": {"llm", "vision_encoder"},
    "listen": {"llm", "speech_tokenizer", "speech_bottom"},
    "whole": {"llm", "speech_tokenizer", "prepare", "answer", *_SPEECH},
}
NEEDS |= {kind: NEEDS[same] for kind, same in OVER_HTTP.items()}
HTTP_BROKEN = "HTTP broken"
_REASON = re.compile(r"(?P<reason>[A-Z_]+)(?: retry_after_ms=\d+)?: ")


@dataclass
class Outcome:
    """``ending``: done, the reason of a typed error, what gRPC says of a broken connection, or HTTP_BROKEN;
    ``message``: of an error, without the request's id."""

    kind: str
    ending: str = ""
    message: str = ""
    ended_s: float = 0.0  # time.monotonic
    content: dict[str, bytes] = field(default_factory=dict)  # what came, joined: pieces differ with load


class Turn:
    """Runs on a thread until the server ends it in whatever way. ``url``: of gRPC, or of HTTP for kinds that go over
    it; ``changed``: inputs other than those of the kind."""

    def __init__(self, url: str, kind: str, **changed: Any) -> None:
        self.outcome = Outcome(kind)
        self.events: dict[str, int] = {}  # how many of each kind came
        self._inputs = KINDS[kind] | changed
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, args=(url,), daemon=True, name=kind)
        self._thread.start()

    def wait_for(self, heard: Callable[[Mapping[str, int]], bool], timeout_s: float) -> None:
        """Until the counts of its events by kind are so, or it is over."""
        with self._news:
            assert self._news.wait_for(lambda: bool(self.outcome.ending) or heard(self.events), timeout_s)

    def finish(self, timeout_s: float) -> Outcome:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"{self.outcome.kind}: the client still waits, after {timeout_s:g} s"
        return self.outcome

    @classmethod
    def at(cls, serving: Supervised, kind: str) -> Turn:
        return cls(serving.door("HTTP" if kind in OVER_HTTP else "gRPC"), kind)

    def _run(self, url: str) -> None:
        ending = self._run_over_http(url) if self.outcome.kind in OVER_HTTP else self._run_over_grpc(url)
        with self._news:
            self.outcome.ending, self.outcome.ended_s = ending, self.outcome.ended_s or time.monotonic()
            self._news.notify_all()

    def _run_over_http(self, url: str) -> str:
        ending = "nothing"
        try:
            for answer in HttpTurn(url, self._inputs).answers():
                ending = self._take_http(answer)
        except (OSError, HTTPException):
            return HTTP_BROKEN
        return ending

    def _run_over_grpc(self, url: str) -> str:
        is_unary = self.outcome.kind in UNARY
        request = service_pb2.ModelInferRequest(model_name="turn" if is_unary else "stream_omni")
        for tensor in tensors(self._inputs):
            request.inputs.append(tensor._get_tensor())
            request.raw_input_contents.append(tensor._get_content())
        ending = "nothing"
        try:
            with grpc.insecure_channel(url) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                if is_unary:
                    ending = self._take_whole(stub.ModelInfer(request))
                else:
                    for answer in stub.ModelStreamInfer(iter([request])):
                        ending = self._take(answer)
        except grpc.RpcError as error:
            ending = self._take_refusal(error)
        return ending

    def _take_whole(self, answer: service_pb2.ModelInferResponse) -> str:
        parts = zip((output.name for output in answer.outputs), answer.raw_output_contents, strict=True)
        self.outcome.content = {name: content for name, content in parts if name != "detail"}  # which tells times
        return "done"

    def _take_refusal(self, error: grpc.RpcError) -> str:
        """Of a unary call with a reason in its words; else the connection's own end."""
        said = (error.details() or "").removeprefix("in ensemble 'turn', ")
        told = _REASON.match(said) if self.outcome.kind in UNARY else None
        if told is None:
            return f"gRPC {error.code().name}"
        self.outcome.message = said.partition(" (request ")[0]
        return told["reason"]

    def _take(self, answer: service_pb2.ModelStreamInferResponse) -> str:
        if answer.error_message:
            return self._take_error(answer.error_message)
        response = answer.infer_response
        parts = dict(zip((o.name for o in response.outputs), response.raw_output_contents, strict=True))
        event, delta = (parts[name][4:] for name in ("event", "delta"))  # behind their length
        return self._take_event(event.decode(), delta, parts["samples"], parts["units"])

    def _take_http(self, answer: dict[str, Any]) -> str:
        if "error" in answer:
            return self._take_error(answer["error"])
        units = np.array(answer["units"], np.int32)
        return self._take_event(answer["event"], answer["delta"].encode(), samples(answer).tobytes(), units.tobytes())

    def _take_error(self, message: str) -> str:
        self.outcome.ended_s = time.monotonic()
        self.outcome.message = message.partition(" (request ")[0]
        reason = _REASON.match(message)
        return reason["reason"] if reason else message

    def _take_event(self, event: str, delta: bytes, samples: bytes, units: bytes) -> str:
        content = self.outcome.content
        for name, piece in (("samples", samples), ("units", units), (event, delta)):
            content[name] = content.get(name, b"") + piece
        with self._news:
            self.events[event] = self.events.get(event, 0) + 1
            self._news.notify_all()
        return event
