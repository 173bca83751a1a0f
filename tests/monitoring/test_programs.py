"""Where Prometheus cannot be had, the long run does not pass without it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.monitoring import prometheus_programs


@pytest.mark.parametrize(
    ("chosen", "ends"),
    [("not faults and not k8s", pytest.skip.Exception), ("not faults", pytest.fail.Exception)],
    ids=["make test", "make test-k8s"],
)
def test_a_long_run_fails_without_prometheus(
    chosen: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(prometheus_programs, "_CACHE", tmp_path)
    monkeypatch.delenv("STREAM_OMNI_PROMETHEUS", raising=False)
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=chosen))
    with pytest.raises(ends, match="neither is apt-get"):
        prometheus_programs.folder(config)
