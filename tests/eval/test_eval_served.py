"""``stream-omni eval`` on the real server, without an ear."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from stream_omni_client.command import main
from stream_omni_eval import command, judge

MEDIA = Path(__file__).parents[2] / "build" / "demo" / "media"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for name in ("question.wav", "picture.png"):
        shutil.copyfile(MEDIA / name, tmp_path / name)
    spoken = {"name": "circle", "audio": "question.wav", "image": "picture.png", "text": "What colour is the circle?"}
    items = [
        spoken | {"keywords": ["red"]},
        {"name": "hello", "text": "Hello", "group": "typed", "answers": ["Hello."]},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return path


def test_all_modes_are_asked_and_told(
    url: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "quality"
    options = ["--manifest", str(manifest), "--url", url, "--out", str(out), "--judge", "none", "--streams", "2"]
    assert main(["eval", *options]) == 0
    assert "answers right" in capsys.readouterr().out
    result = json.loads((out / "quality.json").read_text(encoding="utf-8"))
    values = result["values"]
    assert result["items"] == 2 and result["served"]["checkpoint"] == "stream-omni-tiny"
    assert {name: mode["turns"] for name, mode in values["modes"].items()} == {
        "text to text": 2,
        "text to speech": 2,
        "speech to text": 1,
        "speech to speech": 1,
    }
    assert not any(mode["failed"] for mode in values["modes"].values())
    assert values["company"]["identical"] == values["company"]["turns"] == 2
    assert (values["whole"]["answers"], values["whole"]["failed"]) == (2, 0)
    assert values["sound"]["answers"] == 3
    assert "speech" not in values["modes"]["text to speech"] and "source_voice" not in values
    turns = [json.loads(line) for line in (out / "turns.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [turn["mode"] for turn in turns if turn["name"] == "hello"] == ["text to text", "text to speech"]
    assert {path.name for path in out.iterdir()} == {
        *("quality.json", "turns.jsonl", "report.md", "quality.svg", "spectrograms.png"),
    }


def test_nothing_is_lost_against_the_same(
    url: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And more than may be is a failure: the earlier answers are made out to have been right."""
    first, again = tmp_path / "first", tmp_path / "again"
    asked = ["--manifest", str(manifest), "--url", url, "--judge", "none", "--streams", "1", "--no-whole"]
    assert command.main([*asked, "--out", str(first)]) == 0
    held = [*asked, "--out", str(again), "--against", str(first), "--lose-at-most", "0"]
    assert command.main(held) == 0
    assert "| answers of the same words, % | 100.0 | 100.0 | 100.0 | 100.0 |" in capsys.readouterr().out
    assert "right answers lost, points" in (again / "report.md").read_text(encoding="utf-8")
    result = json.loads((first / "quality.json").read_text(encoding="utf-8"))
    answers = result["values"]["modes"]["text to text"]["answers"]
    assert answers["share"] < 1.0
    lost, answers["share"] = 100 * (1.0 - answers["share"]), 1.0
    (first / "quality.json").write_text(json.dumps(result), encoding="utf-8")
    assert command.main(held) == 1
    assert f"more was lost than 0 points (text to text: {lost:.1f} points)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([*asked, "--out", str(again), "--lose-at-most", "0"])


def test_pieces_begin_where_frames_do(url: str, manifest: Path) -> None:
    """Else joins would be looked for in the wrong places."""
    from stream_omni_client import StreamOmni
    from stream_omni_eval.asking import MODES, Job, ask_once
    from stream_omni_eval.manifest import read_manifest
    from stream_omni_eval.seams import HOP_SAMPLES
    from stream_omni_eval.whole import speak_whole

    job = Job(read_manifest(manifest)[0], MODES[3])
    with StreamOmni(url) as client:
        turn = ask_once(client, job)
    assert len(turn.pieces) > 1 and sum(turn.pieces) == len(turn.samples)
    assert all(length % HOP_SAMPLES == 0 for length in turn.pieces)
    (whole,) = speak_whole(url, [job], print)
    assert whole is not None and len(whole) == len(turn.samples)


def test_what_cannot_be_asked_is_said(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--url", "localhost:1", "--out", str(tmp_path / "out")]
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}", encoding="utf-8")
    assert command.main(["--manifest", str(bad), *options]) == 2
    assert "bad.jsonl, line 1: it has neither text nor audio" in capsys.readouterr().err
    assert command.main(["--manifest", str(tmp_path / "none.jsonl"), *options]) == 1
    assert command.main(["--manifest", str(manifest), *options, "--judge", "none"]) == 1
    assert "localhost:1" in capsys.readouterr().err
    monkeypatch.setattr(judge, "find_spec", lambda name: None)
    assert command.main(["--manifest", str(manifest), *options]) == 1
    assert "is not installed: pip install 'stream-omni[eval]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
