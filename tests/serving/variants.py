"""Servers on the tests' build with other values in the profile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stream_omni_build.repository import find_profile, render_repository

from stream_omni.model_info import ModelInfo
from stream_omni.serving.launcher import TritonServer


def profile_with(values: Mapping[str, float]) -> str:
    """The shipped CPU profile with other values for some of its keys."""
    text = find_profile("cpu").read_text(encoding="utf-8")
    for name, value in values.items():
        text, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    return text


def built_with(built: Path, folder: Path, **values: float) -> Path:
    """In ``folder``: the graphs of ``built``, and ``values`` of the profile."""
    (folder / "profile.toml").write_text(profile_with(values), encoding="utf-8")
    out = folder / "built"
    out.mkdir()
    for part in ("assets", "graphs", "manifest.json"):
        (out / part).symlink_to(built / part)
    voices = list(json.loads((built / "assets" / "voices.json").read_text(encoding="utf-8")))
    render_repository(folder / "profile.toml", ModelInfo.load(built / "assets" / "model.json"), voices, out)
    return out


@contextmanager
def served_with(built: Path, folder: Path, **values: float) -> Iterator[TritonServer]:
    """A server on that."""
    out = built_with(built, folder, **values)
    with (folder / "server.log").open("w") as log, TritonServer(out, log=log, drain_timeout_s=3) as running:
        yield running
