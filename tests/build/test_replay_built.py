"""``stream-omni replay`` of what is built: each stage as it is served, led step by step, and the published example."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stream_omni_build.record_command import main as record
from stream_omni_build.replay_command import main as replay

from stream_omni.replay.published_example import ANSWER, PICTURE, SOUND, TRANSCRIPT, UNITS, Said, compare_published
from tests.serving.raw_client import picture

Checkpoint = tuple[Path, Path]


@pytest.fixture(scope="module")
def arguments(random_checkpoint: Checkpoint, built: Path) -> list[str]:
    language, cosyvoice = map(str, random_checkpoint)
    return ["--checkpoint", language, "--cosyvoice", cosyvoice, "--repository", str(built)]


@pytest.fixture(scope="module")
def cases(random_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written question, recorded in fp32 with PyTorch."""
    language, cosyvoice = map(str, random_checkpoint)
    out = tmp_path_factory.mktemp("recorded")
    asked = ["--text", "What is Triton?", "--max-new-tokens", "12", "--out", str(out)]
    assert record(["--checkpoint", language, "--cosyvoice", cosyvoice, *asked]) == 0
    return out


def test_what_was_recorded_is_what_the_build_chooses(
    arguments: list[str], cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay([*arguments, "--cases", str(cases)]) == 0
    line, summary = capsys.readouterr().out.splitlines()
    assert summary == "1 of 1 cases ok" and "text ids 0.0e+00" in line


def test_a_choice_that_was_not_recorded_is_named(
    arguments: list[str], cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cases / "cases" / "turn.json"
    good = path.read_text(encoding="utf-8")
    fields = json.loads(good)
    fields["llm_ids"][4] = fields["out_ids"][4] = (fields["llm_ids"][4] + 1) % 100
    path.write_text(json.dumps(fields), encoding="utf-8")
    try:
        assert replay([*arguments, "--cases", str(cases)]) == 1
    finally:
        path.write_text(good, encoding="utf-8")
    line, summary = capsys.readouterr().out.splitlines()
    assert summary == "0 of 1 cases ok; FAILED: turn"
    assert "text ids: " in line and f"of {len(fields['llm_ids'])} as recorded" in line


def test_the_published_example_is_asked_of_the_build(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its real files are the reference's; random weights answer something else, and every difference is named."""
    (tmp_path / PICTURE).write_bytes(picture())
    soundfile.write(tmp_path / SOUND, np.sin(np.arange(16000) / 20).astype(np.float32) / 4, 16000)
    assert replay([*arguments, "--published", str(tmp_path)]) == 1
    line = capsys.readouterr().out
    assert line.startswith("published-example") and line.rstrip().endswith("FAIL")
    assert f"transcript: published '{TRANSCRIPT}', here " in line and f"published '{ANSWER}'" in line
    assert "of 38 as published" in line


def test_the_published_example_holds_for_what_was_published() -> None:
    assert compare_published(Said(TRANSCRIPT, ANSWER + " ", UNITS)).ok
    wrong = compare_published(Said(TRANSCRIPT, ANSWER, (*UNITS[:7], 1, *UNITS[8:])))
    assert not wrong.ok and "the first 7 of 38 as published, then (203, 2858, 2099)" in wrong.line()


def test_below_fp32_a_difference_is_told_and_refuses_nothing() -> None:
    """Nobody leads the example, and a close call may flip."""
    flipped = Said(TRANSCRIPT, "The cat is grey.", (*UNITS[:7], 1, *UNITS[8:]))
    for precision in ("bf16", "int8"):
        found = compare_published(flipped, precision)
        assert found.ok and found.line().endswith("  ok")
        assert f"here 'The cat is grey.'; told, not refused, since a close call may flip in {precision}" in found.line()
        assert "the first 7 of 38 as published" in found.line() and "exact: transcript" in found.line()
    assert not compare_published(flipped, "fp32").ok
    assert "told" not in compare_published(Said(TRANSCRIPT, ANSWER, UNITS), "bf16").line()


def test_the_published_example_needs_a_build(
    random_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        replay(["--checkpoint", str(random_checkpoint[0]), "--published", str(tmp_path)])
    assert "needs --repository" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        replay(["--checkpoint", str(random_checkpoint[0])])
