"""Where a unit's processor time goes: of every process, with one stream and with eight. What explains how many streams
a machine can carry: the times of a unit together, against the cores' time while it plays."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.askers import ServedAsker
from benchmarks.load import closed_loop
from benchmarks.plans import Plan
from benchmarks.questions import spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import interleave
from stream_omni.serving.metrics import CALLED_STAGES, ENGINES, FRONT_DOOR
from stream_omni.serving.stage_processes import StageProcesses

_STAGES = (*CALLED_STAGES, *ENGINES, FRONT_DOOR)
_STREAMS = 8
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
Times = dict[str, float]  # seconds of processor time, by process


def measure(subject: Subject, plan: Plan) -> Values:
    streams = min(_STREAMS, max(plan.levels))
    with subject.serve(slots=streams) as server:
        assert server.process is not None
        asker = ServedAsker(server.grpc_url)
        closed_loop(asker, spoken(plan.answer_s), streams, 1)  # what comes once: pages, prefixes
        sides = {n: partial(_work_of, server.process.pid, asker, plan, n) for n in sorted({1, streams})}
        found = interleave(sides, plan.rounds)
        asker.close()
    return {"cores": os.cpu_count(), "streams": {n: _describe(rounds) for n, rounds in found.items()}}


def _work_of(server: int, asker: ServedAsker, plan: Plan, streams: int) -> tuple[Times, float, int]:
    """Processor time of each process, seconds, and units, of whole turns of all streams."""
    ask = spoken(plan.answer_s)

    def units_of(stream: int) -> int:  # exactly so many turns, so that all work done is of counted units
        traces = [asker.ask(ask(stream, turn)) for turn in range(plan.turns_of(streams))]
        if failed := [trace.error for trace in traces if trace.error]:
            raise RuntimeError(f"{len(failed)} turns failed, first: {failed[0]}")
        return sum(trace.units for trace in traces)

    before, began_s = _times(server), time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        units = sum(pool.map(units_of, range(streams)))
    after, seconds = _times(server), time.monotonic() - began_s
    return {name: used - before.get(name, 0.0) for name, used in after.items()}, seconds, units


def _times(server: int) -> Times:
    processes = StageProcesses(server).of(_STAGES) | {"tritonserver": server}
    return {name: _processor_s(number) for name, number in processes.items()} | {"client": time.process_time()}


def _processor_s(number: int) -> float:
    user, system = (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * _TICK_S


def _describe(rounds: list[tuple[Times, float, int]]) -> Values:
    spent = {name: sum(times[name] for times, _, _ in rounds) for name in rounds[0][0]}
    seconds, units = sum(s for _, s, _ in rounds), sum(n for _, _, n in rounds)
    each = {name: 1000 * used / units for name, used in sorted(spent.items(), key=lambda each: -each[1])}
    return {
        "units": units,
        "cpu_ms_a_unit": each,
        "cpu_ms_a_unit_in_all": sum(each.values()),
        "cores_busy": sum(spent.values()) / seconds,
    }
