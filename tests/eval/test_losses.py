"""What fewer bits lost, from what two evaluations wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stream_omni_eval.losses import Evaluated, losses, table
from stream_omni_eval.manifest import Item, ManifestError

ANSWERS = {"1": "It is red.", "2": "Two.", "3": "A cat.", "4": "No."}


def write(folder: Path, share: float, transcript: float, speech: float | None, answers: dict[str, str]) -> Evaluated:
    folder.mkdir()
    mode: dict[str, Any] = {"answers": {"share": share}, "transcripts": {"wer": transcript}}
    if speech is not None:
        mode["speech"] = {"wer": speech}
    modes = {"speech to speech": mode, "text to text": {"answers": {"share": 0.5}, "transcripts": {"wer": None}}}
    (folder / "quality.json").write_text(json.dumps({"values": {"modes": modes}}), encoding="utf-8")
    turns = [
        {"name": name, "mode": mode, "answer": text}
        for mode in ("speech to speech", "text to text")
        for name, text in (answers if mode == "speech to speech" else ANSWERS).items()
    ]
    (folder / "turns.jsonl").write_text("\n".join(map(json.dumps, turns)) + "\n", encoding="utf-8")
    return Evaluated.read(folder)


def test_a_loss_is_told_by_mode_in_points(tmp_path: Path) -> None:
    before = write(tmp_path / "bf16", 0.95, 0.04, 0.10, ANSWERS)
    after = write(tmp_path / "int8", 0.925, 0.05, 0.09, ANSWERS | {"4": "Yes."})
    speech, text = losses(before, after)
    assert (speech.right, speech.transcript, speech.speech) == pytest.approx((2.5, 1.0, -1.0))
    assert speech.same == 75 and speech.worst == pytest.approx(2.5)
    assert (text.right, text.transcript, text.same, text.worst) == (0, None, 100, 0)
    assert "| answers of the same words, % | 75.0 | 100.0 |" in table([speech, text])


def test_without_an_ear_speech_is_not_known(tmp_path: Path) -> None:
    before = write(tmp_path / "bf16", 0.95, 0.04, None, ANSWERS)
    speech, _ = losses(before, write(tmp_path / "int8", 0.95, 0.02, 0.1, ANSWERS))
    assert speech.speech is None and speech.worst == 0


def test_other_questions_and_other_folders_are_refused(tmp_path: Path) -> None:
    before = write(tmp_path / "bf16", 0.95, 0.04, None, ANSWERS)
    before.require([Item(name, "all", "?") for name in ANSWERS])
    with pytest.raises(ManifestError, match=r"asked other questions \(4, 5\)"):
        before.require([Item(name, "all", "?") for name in ("1", "2", "3", "5")])
    with pytest.raises(ManifestError, match="does not hold what `stream-omni eval --out` writes"):
        Evaluated.read(tmp_path)
