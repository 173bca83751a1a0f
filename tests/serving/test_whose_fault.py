"""A stage's ValueError is a stage's failure: only of a request that can never run is the client told."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream_omni.request_error import RequestError
from stream_omni.serving.errors import InvalidRequestError, StageError
from stream_omni.serving.local_stages import LocalStages

REFUSAL = RequestError("max_units is 0; at least 1 is needed")
FAULTS = [ValueError("cannot reshape array of size 3 into shape (2,)"), RuntimeError("no"), KeyError("hidden")]


def raising(error: Exception) -> LocalStages:
    """One stage, which raises."""

    def stage(_: Any) -> dict[str, np.ndarray[Any, Any]]:
        raise error

    stages = LocalStages.__new__(LocalStages)
    stages._stages = {"vocoder": stage}
    return stages


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_in_process_a_stages_fault_is_its_own(fault: Exception) -> None:
    with pytest.raises(StageError, match=r"^INTERNAL: the stage vocoder failed; send the turn again$"):
        raising(fault).infer("vocoder", {}, ())


def test_in_process_a_refusal_is_told() -> None:
    with pytest.raises(InvalidRequestError, match=f"^INVALID_ARGUMENT: {REFUSAL}$"):
        raising(REFUSAL).infer("vocoder", {}, ())


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Outside of Triton, whose module no package has."""
    told = SimpleNamespace(INTERNAL=1, INVALID_ARG=2, UNAVAILABLE=3)
    triton = SimpleNamespace(TritonError=type("TritonError", (Exception,), vars(told)))
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)  # type: ignore[arg-type]
    from stream_omni.serving import edge

    monkeypatch.setattr(edge, "pb", triton)
    return edge


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_on_a_server_a_stages_fault_is_its_own(edge: Any, fault: Exception) -> None:
    told = edge._triton_error("vocoder", fault, "id")
    assert str(told.args[0]) == "INTERNAL: the stage vocoder failed; send the turn again"


def test_on_a_server_a_refusal_is_told(edge: Any) -> None:
    assert edge._triton_error("speech_top", REFUSAL, "id").args == (f"INVALID_ARGUMENT: {REFUSAL}", 2)
