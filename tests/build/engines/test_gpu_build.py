"""``stream-omni build --target gpu`` where there is no GPU: what can be done is done, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_omni_build.main import main


@pytest.fixture(scope="module")
def run(random_checkpoint: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("gpu") / "served"

    def build(target: str, *more: str) -> int:
        language, cosyvoice = map(str, random_checkpoint)
        sources = ["--checkpoint", language, "--cosyvoice", cosyvoice]
        return main([*sources, "--target", target, "--out", str(out), *more])

    return build, out


def test_it_says_what_is_missing_after_doing_the_rest(run, capsys: pytest.CaptureFixture[str]) -> None:
    build, out = run
    assert build("gpu") == 1
    said = capsys.readouterr()
    assert "is not complete" in said.err
    assert "TensorRT is missing" in said.err
    assert "profile gpu-1 needs 1 CUDA GPU, and this machine shows PyTorch none" in said.err
    assert "with the same --out: it goes on from here" in said.err
    assert "Traceback" not in said.err
    for line in (
        "record vision_encoder",
        "record vocoder",
        "export speech_top in bf16",
        "export flow_estimator in fp16",
    ):
        assert line in said.out
    assert (out / "assets" / "tokenizer.json").is_file()
    (work,) = (out / "work").iterdir()
    assert (work / "graphs" / "speech_top.bf16.onnx").is_file()
    assert (work / "recorded" / "flow_estimator.npz").is_file()
    assert not (out / "manifest.json").exists()


def test_it_goes_on_from_there(run, capsys: pytest.CaptureFixture[str]) -> None:
    build, _ = run
    assert build("gpu-1") == 1
    said = capsys.readouterr().out
    assert not any(line.startswith("record ") for line in said.splitlines())
    assert "export " not in said


def test_ready_graphs_are_for_the_cpu(run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    build, _ = run
    assert build("gpu", "--graphs", str(tmp_path)) == 1
    assert "--graphs is for --target cpu" in capsys.readouterr().err


def test_an_unknown_profile_is_named(run, capsys: pytest.CaptureFixture[str]) -> None:
    build, _ = run
    assert build("gpu", "--profile", "gpu-7") == 1
    assert "there is no profile 'gpu-7'" in capsys.readouterr().err


def test_a_folder_of_somebody_elses_is_left_alone(run, random_checkpoint, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    language, cosyvoice = map(str, random_checkpoint)
    sources = ["--checkpoint", language, "--cosyvoice", cosyvoice]
    assert main([*sources, "--target", "gpu", "--out", str(tmp_path)]) == 1
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
