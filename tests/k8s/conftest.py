"""The chart, rendered for the stand, and servers of twelve places for the tests of the edge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stream_omni_build.repository import render_repository

from stream_omni.model_info import ModelInfo
from tests.helm.chart import Rendered, render
from tests.k8s.values import PLACES, THREE
from tests.monitoring import prometheus_programs
from tests.serving.variants import profile_with


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    return render(THREE)


@pytest.fixture(scope="session")
def prometheus_folder(pytestconfig: pytest.Config) -> Path:
    return prometheus_programs.folder(pytestconfig)


@pytest.fixture(scope="session")
def built_with_places(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint's graphs, in a repository that lets so many turns run at once."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "profile.toml").write_text(profile_with({"slots": PLACES}), encoding="utf-8")
    out = folder / "built"
    out.mkdir()
    for part in ("assets", "graphs", "manifest.json"):
        (out / part).symlink_to(built_directory / part)
    voices = list(json.loads((built_directory / "assets" / "voices.json").read_text(encoding="utf-8")))
    render_repository(folder / "profile.toml", ModelInfo.load(built_directory / "assets" / "model.json"), voices, out)
    return out
