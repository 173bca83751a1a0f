"""A GPU build without the replay that ends it: said by the build, by its manifest and by what serves it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from stream_omni_build import gpu_build
from stream_omni_build.deployment import read_deployment
from stream_omni_build.engines.gpu import Machine
from stream_omni_build.main import main

from stream_omni.serving.launcher import LaunchError, TritonServer
from tests.build.test_acceptance import TARGET, Bench
from tests.gpu.test_engines import profile_of


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A GPU that is not there, whose plans are the graphs; where a replay would have been."""
    made: list[Path] = []

    def replay(checkpoint: object, folder: Path, out: Path, example: object, progress: object) -> dict[str, str]:
        made.append(out)
        return {"voice": "voice  ok"}

    monkeypatch.setattr(gpu_build, "look", lambda deployment: Machine(None, TARGET, ()))
    monkeypatch.setattr(gpu_build, "TensorRtMaker", lambda *arguments: Bench())
    for told in ("tell_estimate", "require_disk"):
        monkeypatch.setattr(gpu_build, told, lambda *arguments: None)
    monkeypatch.setattr(gpu_build, "record_cases", lambda *arguments: None)
    monkeypatch.setattr(gpu_build, "replay_built", replay)
    return made


def test_it_is_said_until_the_replay_is_made_up_for(
    replays: list[Path],
    random_checkpoint: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    language, cosyvoice = map(str, random_checkpoint)
    out, profile = tmp_path / "served", str(profile_of("vocoder", tmp_path))
    build = ["--checkpoint", language, "--cosyvoice", cosyvoice, "--target", "gpu", "--profile", profile]
    build += ["--out", str(out)]

    def found() -> Any:
        return json.loads((out / "manifest.json").read_text(encoding="utf-8"))["replay"]

    assert main([*build, "--no-replay"]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "not replayed: nothing holds these engines all together" in said
    assert f"{out} is complete (not replayed as a whole); serve it with" in said
    assert found() == "not replayed" and replays == []
    assert main([*build, "--no-replay"]) == 0 and "unchanged: nothing to build" in capsys.readouterr().out
    with caplog.at_level(logging.WARNING):
        TritonServer(out)
    assert f"{out} was built with --no-replay: nothing has held its engines all together" in caplog.text
    # the same command without it makes no engine again
    assert main(build) == 0
    said = capsys.readouterr().out
    assert "unchanged: engines of vocoder" in said and "not replayed" not in said
    assert found() == {"voice": "voice  ok"} and replays == [out]
    assert main([*build, "--no-replay"]) == 0 and "unchanged: nothing to build" in capsys.readouterr().out
    caplog.clear()
    TritonServer(out)
    assert not caplog.text


def test_a_manifest_that_was_cut_off_is_of_no_complete_build(tmp_path: Path) -> None:
    (tmp_path / "model_repository" / "llm").mkdir(parents=True)
    (tmp_path / "model_repository" / "llm" / "config.pbtxt").touch()
    TritonServer(tmp_path)
    (tmp_path / "manifest.json").write_text('{"replay": "not', encoding="utf-8")
    with pytest.raises(LaunchError, match="is no complete build; run again: stream-omni build"):
        TritonServer(tmp_path)


@pytest.mark.parametrize("more", [["--target", "cpu"], ["--target", "gpu", "--example", "DIR"]], ids=str)
def test_where_there_is_nothing_to_leave_out_it_is_refused(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--checkpoint", "a", "--cosyvoice", "b", "--out", "c", "--no-replay", *more])
    assert "--no-replay is for GPUs, and leaves no --example to ask" in capsys.readouterr().err


def test_a_build_follows_from_tensorrt_llm_where_it_has_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def follows(profile: str, version: str) -> dict[str, Any]:
        monkeypatch.setattr(gpu_build, "version_here", lambda: version)
        return gpu_build._follows({}, read_deployment(profile), Machine(None, TARGET, ()))

    assert follows("gpu-1", "1.2.1") != follows("gpu-1", "1.3.0")
    assert follows("gpu-torch", "1.2.1") == follows("gpu-torch", "1.3.0")
