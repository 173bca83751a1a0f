"""TensorRT-LLM's executor as its release documents it (fixtures/tensorrt_llm_api.json), without a GPU and without a
model: it takes what the bindings take and nothing else, and a test says what it answers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

API = json.loads((Path(__file__).parent / "fixtures" / "tensorrt_llm_api.json").read_text(encoding="utf-8"))


def bound(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name. Raises TypeError, as the bindings do, for one that the release has not."""
    known = API["calls"][name]
    either = [inspect.Parameter(p, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for p in known["positional"]]
    alone = [inspect.Parameter(p, inspect.Parameter.KEYWORD_ONLY, default=None) for p in known["named"]]
    return dict(inspect.Signature(either + alone).bind(*given, **named).arguments)


class ExecutorApi:
    """The module tensorrt_llm.bindings.executor: each of its classes holds what it was made with."""

    def __getattr__(self, name: str) -> Any:
        if name not in API["calls"]:
            raise AttributeError(name)
        return lambda *given, **named: SimpleNamespace(**bound(name, given, named))


class Only:
    """Has those attributes alone that the release's object has."""

    def __init__(self, kind: str, **values: Any) -> None:
        assert values.keys() <= set(API["attributes"][kind]["names"])
        self.__dict__.update(values)


class FakeExecutor:
    """Its numbers begin at 100. A test puts responses in; ``cancelled`` are the numbers that it was told to forget, of
    which a last response may still come, as with the real one."""

    def __init__(self) -> None:
        self.requests: dict[int, Any] = {}
        self.cancelled: list[int] = []
        self._responses: SimpleQueue[Only] = SimpleQueue()

    def enqueue_request(self, *given: Any, **named: Any) -> int:
        number = 100 + len(self.requests)
        self.requests[number] = bound("enqueue_request", given, named)["request"]
        return number

    def cancel_request(self, *given: Any, **named: Any) -> None:
        self.cancelled.append(bound("cancel_request", given, named)["id"])

    def await_responses(self, *given: Any, **named: Any) -> list[Only]:
        timeout = bound("await_responses", given, named)["timeout"]
        assert isinstance(timeout, timedelta)
        with suppress(Empty):
            found = [self._responses.get(timeout=timeout.total_seconds())]
            while not self._responses.empty():
                found.append(self._responses.get())
            return found
        return []

    def says(self, number: int, ids: Sequence[int], last: bool = False) -> None:
        """One beam of ids, without those that were told before."""
        result = Only("result", is_final=last, output_token_ids=[list(ids)])
        self._put(request_id=number, has_error=lambda: False, result=result)

    def fails(self, number: int, words: str) -> None:
        self._put(request_id=number, has_error=lambda: True, error_msg=words)

    def _put(self, **values: Any) -> None:
        self._responses.put(Only("response", **values))
