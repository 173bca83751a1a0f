"""What an evaluation lost against an earlier one of the same questions: of more bits, or of another checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni_eval.manifest import Item, ManifestError

RESULT, TURNS = "quality.json", "turns.jsonl"
_NEEDED = {"transcripts": "wer", "speech": "wer", "answers": "share"}

Answers = dict[tuple[str, str], str]  # an item's name and the mode: what was answered


@dataclass(frozen=True)
class Loss:
    """Of one mode, in points of a hundred; above 0 is worse, None: not known on both sides. ``right``: fewer right
    answers; ``transcript``, ``speech``: more wrong words. ``same``: answers of the same words, of all, in percent."""

    mode: str
    right: float | None
    transcript: float | None
    speech: float | None
    same: float

    @property
    def worst(self) -> float:
        return max((points for points in (self.right, self.transcript, self.speech) if points is not None), default=0.0)


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation wrote."""

    modes: Mapping[str, Any]
    answers: Answers

    @classmethod
    def read(cls, folder: Path) -> Evaluated:
        """Raises ManifestError for a folder that no evaluation wrote."""
        try:
            modes = json.loads((folder / RESULT).read_text(encoding="utf-8"))["values"]["modes"]
            turns = [json.loads(line) for line in (folder / TURNS).read_text(encoding="utf-8").splitlines()]
            return cls(modes, {(turn["name"], turn["mode"]): turn["answer"] for turn in turns})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"{folder} does not hold what `stream-omni eval --out` writes ({error})") from error

    def require(self, items: Sequence[Item]) -> None:
        """Raises ManifestError where other questions were asked: then nothing can be compared."""
        then, now = {name for name, _ in self.answers}, {item.name for item in items}
        if then != now:
            differing = ", ".join(sorted(then ^ now)[:3])
            raise ManifestError(f"the earlier evaluation asked other questions ({differing}): give the same --manifest")


def losses(before: Evaluated, after: Evaluated) -> list[Loss]:
    """By mode, of those that both have."""
    return [_loss(mode, before, after) for mode in after.modes if mode in before.modes]


def _loss(mode: str, before: Evaluated, after: Evaluated) -> Loss:
    then, now = before.modes[mode], after.modes[mode]
    asked = [key for key in after.answers if key[1] == mode]
    same = sum(after.answers[key] == before.answers.get(key) for key in asked)
    return Loss(
        mode,
        right=_more(now, then, "answers"),  # the other way round: fewer is worse
        transcript=_more(then, now, "transcripts"),
        speech=_more(then, now, "speech"),
        same=100 * same / max(1, len(asked)),
    )


def _more(then: Mapping[str, Any], now: Mapping[str, Any], what: str) -> float | None:
    earlier, later = ((side.get(what) or {}).get(_NEEDED[what]) for side in (then, now))
    return None if earlier is None or later is None else 100 * (later - earlier)


def table(found: Sequence[Loss]) -> str:
    """Markdown."""
    rows: dict[str, list[float | None]] = {
        "right answers lost, points": [loss.right for loss in found],
        "transcript, WER, points more": [loss.transcript for loss in found],
        "speech against its text, WER, points more": [loss.speech for loss in found],
        "answers of the same words, %": [loss.same for loss in found],
    }
    head = ["lost against the earlier evaluation", *(loss.mode for loss in found)]
    lines = [head, ["---"] * len(head)]
    lines += [[name, *("-" if cell is None else f"{cell:.1f}" for cell in cells)] for name, cells in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
