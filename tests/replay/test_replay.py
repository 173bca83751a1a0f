"""Replay holds what was recorded of the reference, and notices when anything changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from stream_omni_build.record_command import main as record
from stream_omni_build.replay_command import main as replay


def _cases(fixtures_dir: Path, out: Path, *names: str) -> Path:
    """A folder with some of the recorded cases, to be tampered with."""
    (out / "cases").mkdir(parents=True)
    for name in names:
        for path in (fixtures_dir / "cases").glob(f"{name}.*"):
            shutil.copy(path, out / "cases")
    shutil.copytree(fixtures_dir / "images", out / "images")
    shutil.copy(fixtures_dir / "skip_ids.npy", out)
    return out


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_every_recorded_case_holds(
    runtime: str, fixtures_dir: Path, tiny_checkpoint: Path, tiny_cosyvoice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--cosyvoice", str(tiny_cosyvoice), "--cases", str(fixtures_dir), "--runtime", runtime]
    assert replay(["--checkpoint", str(tiny_checkpoint), *arguments]) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == "26 of 26 cases ok; 3 not applicable"
    assert sum("not applicable: recorded with 128256" in line for line in lines) == 3
    assert sum(line.endswith(" ok") for line in lines) == 26


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_cases_of_the_other_vocabulary_hold(
    runtime: str, fixtures_dir: Path, tiny_checkpoint_128256: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = _cases(fixtures_dir, tmp_path, "*_tv128256")
    assert replay(["--checkpoint", str(tiny_checkpoint_128256), "--cases", str(cases), "--runtime", runtime]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 of 3 cases ok"


@pytest.mark.parametrize("tensor", ["model.layers.2.mlp.up_proj.weight", "model.norm.weight"])
def test_a_perturbed_tensor_fails_and_names_the_case(
    tensor: str, fixtures_dir: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    weights[tensor] = weights[tensor] * np.float32(1.01)
    save_file(weights, checkpoint / "model.safetensors")
    cases = _cases(fixtures_dir, tmp_path / "recorded", "t2t", "asr_only")
    assert replay(["--checkpoint", str(checkpoint), "--cases", str(cases)]) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == "1 of 2 cases ok; FAILED: t2t"  # asr_only never meets the LLM
    assert any(line.startswith("t2t ") and line.endswith("FAIL") for line in lines)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("t2t", lambda fields: fields["out_ids"].__setitem__(7, fields["out_ids"][7] + 1)),
        ("s2s_max5", lambda fields: fields["ctc_ids"].__setitem__(60, 1)),
        ("s2s_max5", lambda fields: fields["steps"]["queued"].__setitem__(3, 99)),
        ("s2s_max5", lambda fields: fields["speech_top5"][2]["ids"].__setitem__(4, 128300)),
        ("s2s_max5", lambda fields: fields["min_margin"].__setitem__("ctc", 0.5)),
    ],
)
def test_a_changed_id_fails_and_names_the_case(
    name: str, change, fixtures_dir: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = _cases(fixtures_dir, tmp_path, name)
    path = cases / "cases" / f"{name}.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert replay(["--checkpoint", str(tiny_checkpoint), "--cases", str(cases)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"0 of 1 cases ok; FAILED: {name}"


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("t2t", "llm_prompt_embeds"),
        ("cosy_n1", "wav"),
        ("cosy_n1", "mel"),
        ("vmerge_pad_tall", "merged_image_features"),
    ],
)
def test_a_changed_array_value_fails_and_names_the_case(
    name: str,
    array: str,
    fixtures_dir: Path,
    tiny_checkpoint: Path,
    tiny_cosyvoice: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cases = _cases(fixtures_dir, tmp_path, name)
    path = cases / "cases" / f"{name}.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[array].flat[arrays[array].size // 2] += 0.01
    np.savez(path, **arrays)
    arguments = ["--cosyvoice", str(tiny_cosyvoice), "--cases", str(cases)]
    assert replay(["--checkpoint", str(tiny_checkpoint), *arguments]) == 1
    line, summary = capsys.readouterr().out.splitlines()
    assert summary == f"0 of 1 cases ok; FAILED: {name}"
    assert f"{array}: error 1.0" in line


def test_nothing_applicable_is_a_failure(
    fixtures_dir: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = _cases(fixtures_dir, tmp_path, "t2t_tv128256", "cosy_n1")
    assert replay(["--checkpoint", str(tiny_checkpoint), "--cases", str(cases)]) == 1
    assert "no applicable case: nothing was proved" in capsys.readouterr().out


def test_what_cannot_be_read_is_said(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(["--checkpoint", str(tiny_checkpoint), "--cases", str(tmp_path)]) == 2
    assert "no recorded cases" in capsys.readouterr().err
    assert replay(["--checkpoint", str(tmp_path), "--cases", str(tmp_path)]) == 2


def test_a_recording_of_recorded_inputs_holds(
    fixtures_dir: Path, tiny_checkpoint: Path, tiny_cosyvoice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    like = _cases(
        fixtures_dir, tmp_path / "like", "t2s", "s2t_img", "cosy_prompt", "vmerge_anyres_max_9_large", "logmel*"
    )
    common = ["--checkpoint", str(tiny_checkpoint), "--cosyvoice", str(tiny_cosyvoice)]
    assert record([*common, "--like", str(like), "--out", str(tmp_path / "again")]) == 0
    for name in ("t2s", "s2t_img"):
        before, after = (json.loads((d / "cases" / f"{name}.json").read_text()) for d in (like, tmp_path / "again"))
        assert before["out_ids"] == after["out_ids"]
        assert before.keys() - {"reference_seconds"} <= after.keys()
    capsys.readouterr()
    assert replay([*common, "--cases", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 of 5 cases ok"
