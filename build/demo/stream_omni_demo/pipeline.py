"""The stages of a training: in order, resumable, each with a gate, all written down in ``training.json``."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni_demo.plan import Plan

Measured = Mapping[str, float]

RECORD = "training.json"
WORK = Path.home() / ".cache" / "stream-omni-demo"  # a workshop's folder, unless another is named


class GateError(RuntimeError):
    """A stage was trained, and is not good enough to go on with."""


@dataclass(frozen=True)
class Workshop:
    """Where a training keeps its things, and how much of everything it makes."""

    folder: Path
    plan: Plan
    say: Callable[[str], None] = print

    def trained(self, stage: str) -> Path:
        """A stage's tensors, under the names that the checkpoint has for them."""
        return self.folder / "trained" / f"{stage}.safetensors"

    def state(self, stage: str) -> Path:
        """What an interrupted stage goes on from."""
        return self.folder / "state" / f"{stage}.pt"


@dataclass(frozen=True)
class Stage:
    """``make`` leaves its files in the workshop and tells what it measured; ``gate`` says what of it is not good
    enough, or nothing."""

    name: str
    about: str
    make: Callable[[Workshop], Measured]
    gate: Callable[[Measured], str]
    needs: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()  # the plan's that ``make`` depends on: another one of these, and it is made again


def run_stages(stages: Sequence[Stage], wanted: Sequence[str], workshop: Workshop) -> None:
    """Make ``wanted`` (all, if empty) and what they need, except for what is there already from the same amounts.

    Raises GateError where a stage is not good enough, ValueError for a name that no stage has.
    """
    known = {stage.name: stage for stage in stages}
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"there is no stage {', '.join(unknown)}; there are {', '.join(known)}")
    for name in _with_needs(known, wanted or list(known)):
        _run(known[name], known, workshop)


def _with_needs(known: Mapping[str, Stage], wanted: Sequence[str]) -> list[str]:
    """In the order of ``known``, which must be one in which every stage comes after what it needs."""
    needed, open_names = set(wanted), list(wanted)
    while open_names:
        for name in known[open_names.pop()].needs:
            if name not in needed:
                needed.add(name)
                open_names.append(name)
    return [name for name in known if name in needed]


def _run(stage: Stage, known: Mapping[str, Stage], workshop: Workshop) -> None:
    made_from = _digest(stage, known, workshop)
    if _is_made(stage, known, workshop):
        workshop.say(f"{stage.name}: already made")
        return
    workshop.say(f"{stage.name}: {stage.about}")
    began_s = time.monotonic()
    measured = dict(stage.make(workshop))
    fault = stage.gate(measured) if workshop.plan.judged else ""
    entry = {"made_from": made_from, "seconds": round(time.monotonic() - began_s, 1), "measured": measured}
    entry |= {"passed": not fault} | ({"missed": fault} if fault else {})
    # read again: another stage may have been made meanwhile
    _write_record(workshop.folder, read_record(workshop.folder) | {stage.name: entry})
    shown = ", ".join(f"{key} {value:.4g}" for key, value in measured.items())
    workshop.say(f"{stage.name}: made in {entry['seconds']:.0f} s ({shown})")
    if fault:
        raise GateError(f"{stage.name}: {fault}")


def accept(stages: Sequence[Stage], name: str, workshop: Workshop) -> str:
    """Go on from a stage that has missed its gate; the record says so for ever. What it has missed.

    Raises ValueError where there is nothing to accept.
    """
    known, record = {stage.name: stage for stage in stages}, read_record(workshop.folder)
    if name not in known:
        raise ValueError(f"there is no stage {name}; there are {', '.join(known)}")
    if name not in record or record[name]["passed"]:
        raise ValueError(f"{name} {'has passed its gate' if name in record else 'was not made yet'}")
    missed = known[name].gate(record[name]["measured"])
    _write_record(workshop.folder, record | {name: record[name] | {"missed": missed, "accepted": True}})
    return missed


def left_to_make(stages: Sequence[Stage], workshop: Workshop) -> list[str]:
    """Names of those that were not made from the workshop's plan, or neither passed their gates nor were accepted."""
    known = {stage.name: stage for stage in stages}
    return [stage.name for stage in stages if not _is_made(stage, known, workshop)]


def _is_made(stage: Stage, known: Mapping[str, Stage], workshop: Workshop) -> bool:
    entry = read_record(workshop.folder).get(stage.name)
    if not entry or entry["made_from"] != _digest(stage, known, workshop):
        return False
    return bool(entry["passed"] or entry.get("accepted"))


def _digest(stage: Stage, known: Mapping[str, Stage], workshop: Workshop) -> str:
    """Of the stage's amounts and of all that came before."""
    record, plan = read_record(workshop.folder), workshop.plan
    parts: list[Any] = [stage.name, plan.seed, plan.judged, {name: getattr(plan, name) for name in stage.amounts}]
    parts += [record.get(name, {}).get("made_from") for name in known[stage.name].needs]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{RECORD}.partial"
    partial.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / RECORD)
