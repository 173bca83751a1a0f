"""The evaluation: every question alone, the spoken ones in company and in one piece, all of it judged."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_omni_client import StreamOmni

from stream_omni_eval.asking import Job, Turn, ask_all, jobs_of
from stream_omni_eval.hearing import Ear, Hearing
from stream_omni_eval.losses import RESULT, TURNS
from stream_omni_eval.manifest import Item
from stream_omni_eval.percentiles import rounded
from stream_omni_eval.scoring import (
    Values,
    describe_company,
    describe_modes,
    describe_sound,
    describe_source_voice,
    describe_whole,
)
from stream_omni_eval.whole import Samples, speak_whole


@dataclass(frozen=True)
class Plan:
    """``streams`` of the pass in company; 1: there is none."""

    streams: int
    in_one_piece: bool = True


@dataclass(frozen=True)
class Outcome:
    """``result`` is what :data:`RESULT` holds. ``spoken``: the turns that were compared in company and in one piece."""

    result: dict[str, Any]
    turns: list[Turn]
    spoken: list[Turn]


def evaluate(
    url: str, items: Sequence[Item], ear: Ear | None, plan: Plan, out: Path, say: Callable[[str], None]
) -> Outcome:
    """Ask, judge, and write :data:`RESULT` and :data:`TURNS` to ``out``."""
    began_s, began = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    with StreamOmni(url) as client:
        served = client.info()
    jobs = jobs_of(items)
    say(f"asking {len(items)} items, {len(jobs)} turns, one at a time")
    turns = ask_all(url, jobs, 1, say)
    spoken = _one_spoken_answer_each(turns)
    company: list[Turn] = []
    if plan.streams > 1 and spoken:
        say(f"asking for {len(spoken)} spoken answers, {plan.streams} at a time")
        company = ask_all(url, [turn.job for turn in spoken], plan.streams, say)
    whole: list[Samples | None] = []
    if plan.in_one_piece and spoken:
        say(f"having {len(spoken)} answers spoken in one piece")
        whole = speak_whole(url, [turn.job for turn in spoken], say)
    hearing = Hearing(ear, say) if ear else None
    say("judging" if hearing else "judging without an ear")
    values: Values = {
        "modes": describe_modes(turns, hearing),
        "sound": describe_sound([turn for turn in turns if turn.job.mode.output == "speech"]),
    }
    if company:
        values["company"] = describe_company(spoken, company, plan.streams, hearing)
    if whole:
        values["whole"] = describe_whole(spoken, whole, hearing)
    if hearing:
        values["source_voice"] = describe_source_voice(turns, hearing, say)
    result = {
        "began": began,
        "seconds": round(time.monotonic() - began_s, 1),
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "served": served,
        "items": len(items),
        "values": values,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / RESULT).write_text(json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_turns(out / TURNS, turns, hearing)
    return Outcome(rounded(result), turns, spoken)


def _processor() -> str:
    """Of this machine; the server's is often the same."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _one_spoken_answer_each(turns: Sequence[Turn]) -> list[Turn]:
    """To the spoken question where there is one, else to the written one."""
    found: dict[str, Turn] = {}
    for turn in turns:
        if turn.job.mode.output == "speech" and not turn.error:
            found[turn.job.item.name] = turn  # spoken ones come last
    return list(found.values())


def _write_turns(path: Path, turns: Sequence[Turn], hearing: Hearing | None) -> None:
    """One line a turn, for a look at what went wrong."""
    lines = []
    for turn in turns:
        job: Job = turn.job
        line: dict[str, Any] = {"name": job.item.name, "group": job.item.group, "mode": job.mode.name}
        line |= {"error": turn.error} if turn.error else {}
        line |= (
            {"asked": job.item.transcript or job.item.text, "transcript": turn.transcript}
            if job.mode.spoken
            else {"asked": job.item.text}
        )
        line |= {"answer": turn.text, "right": job.item.is_right(turn.text), "finish_reason": turn.finish_reason}
        if len(turn.samples):
            line |= {"units": len(turn.units), "seconds": len(turn.samples) / turn.rate_hz}
            line |= {"heard": hearing.of(turn.samples, turn.rate_hz)} if hearing else {}
        line |= {f"first_{kind}_ms": turn.trace.first_ms(kind) for kind in ("transcript", "text", "audio")}
        lines.append(json.dumps(rounded(line), ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
