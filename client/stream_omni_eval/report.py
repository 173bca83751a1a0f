"""An evaluation's result as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Found = dict[str, Any]


def report(result: Found) -> str:
    """``result`` is what ``quality.json`` holds."""
    values, modes = result["values"], result["values"]["modes"]
    served, machine = result["served"], result["machine"]
    lines = [
        f"Checkpoint `{served['checkpoint']}`, {result['items']} items, {result['began'][:10]}, asked from a machine "
        f"with {machine['cores']} x {machine['processor']}.",
        "",
        *_table("each turn alone", list(modes), _mode_rows(list(modes.values()))),
        "",
        *_table("all spoken answers", [""], _other_rows(values)),
    ]
    return "\n".join(lines) + "\n"


def _mode_rows(modes: Sequence[Found]) -> list[list[str]]:
    def row(name: str, cell: Callable[[Found], str]) -> list[str]:
        return [name, *(cell(mode) for mode in modes)]

    groups = sorted({group for mode in modes for group in mode["groups"]})
    rows = [row("turns", lambda mode: str(mode["turns"])), row("answers right", _right)]
    rows += [row(f"- {g}", lambda mode, g=g: _right(mode["groups"].get(g))) for g in groups if len(groups) > 1]  # type: ignore[misc]
    rows.append(row("transcript, WER", lambda mode: _wer(mode["transcripts"])))
    rows += [
        row(f"- {g}", lambda mode, g=g: _wer(mode["groups"].get(g, {}).get("transcripts")))  # type: ignore[misc]
        for g in groups
        if len(groups) > 1
    ]
    rows += [
        row("speech against its text, WER", lambda mode: _wer(mode.get("speech"))),
        row("first audio, ms (p50, p95)", lambda mode: _spread(mode["first_audio_ms"], "{:.0f}")),
        row("realtime factor (p50, p95)", lambda mode: _spread(mode.get("realtime_factor"), "{:.2f}")),
        row("failed, cut by a limit", lambda mode: f"{mode['failed']}, {mode['cut_by_a_limit']}"),
    ]
    return rows


def _other_rows(values: Found) -> list[list[str]]:
    rows = []
    if "source_voice" in values:
        rows.append(["source voice's own WER", _wer(values["source_voice"])])
    if whole := values.get("whole"):
        rows.append(["WER of streamed speech, and of the same in one piece"])
        rows[-1].append(f"{_wer(whole.get('streamed'))}, {_wer(whole.get('in_one_piece'))}")
        for name, seams in whole["seams"].items():
            there = whole["same_places_in_one_piece"].get(name, {})
            rows.append([f"rank of {name} where pieces join, and there in one piece (0.5: as elsewhere)"])
            rows[-1].append(f"{_rank(seams)}, {_rank(there)}")
    if company := values.get("company"):
        n = company["streams"]
        rows.append([f"{n} at a time: identical answers", f"{company['identical']} of {company['turns']}"])
        rows.append([f"{n} at a time: WER of speech", _wer(company.get("speech"))])
        rows.append([f"{n} at a time: first audio, ms (p50, p95)", _spread(company["first_audio_ms"], "{:.0f}")])
        rows.append([f"{n} at a time: pieces that came late", str(company.get("underruns", "-"))])
    sound = values["sound"]
    rows.append(["silent, clipped, long pauses within"])
    rows[-1].append(", ".join(f"{sound[name]}" for name in ("silent", "clipped", "with_long_pauses")))
    rows.append(["level, dB of full scale (p50)", _one(sound["level_db"]["p50"], "{:.1f}")])
    return rows


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join([title, *columns]) + " |", "|" + "---|" * (1 + len(columns))]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def _right(found: Found | None) -> str:
    if not found or found["answers"]["share"] is None:
        return "-"
    answers = found["answers"]
    return f"{answers['share']:.1%} of {answers['known']}"


def _wer(found: Found | None) -> str:
    return "-" if not found or found["wer"] is None else f"{found['wer']:.1%}"


def _rank(found: Found) -> str:
    return f"{found['rank']:.2f} ± {found['rank_error']:.2f}" if found.get("count") else "-"


def _spread(found: Found | None, form: str) -> str:
    if not found or not found["count"]:
        return "-"
    return f"{form.format(found['p50'])}, {form.format(found['p95'])}"


def _one(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
