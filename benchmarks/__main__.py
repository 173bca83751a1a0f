"""``python -m benchmarks``: measure, draw, and print the table of targets."""

from __future__ import annotations

import os

for _library in ("OMP", "OPENBLAS", "MKL"):  # read when numpy and torch are first imported: one thread, as the stages
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from functools import partial  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402

from benchmarks import results, targets  # noqa: E402
from benchmarks.machine import ROOT  # noqa: E402
from benchmarks.plans import PLANS  # noqa: E402

MEASUREMENTS = {
    "streams": "closed loop at 1, 2, 4, 8, 16 streams: latencies, rates, underruns, memory",
    "work": "processor time of each process for a unit, with one stream and with eight",
    "arrivals": "open loop: random arrivals at shares of what the server can do",
    "overhead": "one turn served, against the same turn in process",
    "batching": "eight streams batched, against one at a time",
    "chunking": "speech in chunks, against whole utterances",
    "reference": "the reference's algorithm with its costs, against ours, one thread",
    "growth": "a 1500-unit answer: its last quarter against its first",
    "limits": "steps and the first unit against what the machine can do",
    "cancelling": "from a cancel to free places",
    "soak": "thousands of mixed turns with cancels: memory and lost places; always on a tiny checkpoint",
}
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stream-omni-benchmarks"


_FEWEST_MINUTES = 20  # of a soak: shared memory was seen to step up for the first nine
_HELD_OUT = ROOT / "build" / "demo" / "held_out" / "questions.jsonl"


def _long_enough(text: str) -> float:
    if (minutes := float(text)) < _FEWEST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text}: a server still fills its memory; take at least {_FEWEST_MINUTES}")
    return minutes


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.command == "table":
        print(targets.table(results.load(arguments.results)), end="")
        return 0
    if arguments.command == "plot":
        from benchmarks.plots import draw

        for path in draw(results.load(arguments.results), arguments.results):
            print(path)
        return 0
    if arguments.command == "streaming":
        from benchmarks import streaming_quality

        for path in streaming_quality.run(_CACHE, arguments.results):
            print(path)
        return 0
    if arguments.command == "endure":
        from benchmarks import endurance

        paths, faults = endurance.run(arguments.minutes, _CACHE, arguments.results)
        print(*paths, *faults, sep="\n")
        return 1 if faults else 0
    if arguments.command == "capacity":
        return _find_capacity(arguments)
    for name in arguments.measurements or MEASUREMENTS:
        print(f"--- {name}: {MEASUREMENTS[name]}", flush=True)
        print(_measure(name, arguments), flush=True)
    return 0


def _measure(name: str, arguments: argparse.Namespace) -> Path:
    from benchmarks.subjects import Subject, random_subject

    size = "tiny" if name == "soak" else arguments.size  # leaks do not grow with the model, but turns get fast
    cache: Path = arguments.cache
    cache.mkdir(parents=True, exist_ok=True)
    if arguments.served:
        subject = Subject(arguments.served, cache, arguments.checkpoint)
    else:
        subject = random_subject(size, cache)
    parameters = {
        "plan": arguments.plan,
        "served": str(arguments.served.name) if arguments.served else f"random {size}",
    }
    measure = import_module(f"benchmarks.measure.{name}").measure
    return results.record(name, parameters, lambda: measure(subject, PLANS[arguments.plan]), arguments.results)


def _find_capacity(arguments: argparse.Namespace) -> int:
    from benchmarks import capacity
    from benchmarks.subjects import Subject

    goal = capacity.Goal(arguments.first_audio_ms, arguments.most, arguments.turns)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    place = arguments.url or Subject(arguments.served, arguments.cache)
    say = partial(print, flush=True)
    path = capacity.run(goal, arguments.manifest, arguments.answer_s, place, arguments.profile, arguments.results, say)
    print(path, capacity.summary(json.loads(path.read_text(encoding="utf-8"))), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<11} {what}" for name, what in MEASUREMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=results.FOLDER, metavar="DIR", help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="measure, and write a result file each",
        epilog=f"measurements (default: all):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("measurements", nargs="*", metavar="NAME", choices=[*MEASUREMENTS, []])
    run.add_argument("--plan", choices=PLANS, default="quick", help="default: %(default)s")
    run.add_argument("--size", choices=("tiny", "mid", "8b"), default="mid", help="of a random checkpoint")
    run.add_argument("--served", type=Path, metavar="DIR", help="what `stream-omni build` wrote, instead of --size")
    run.add_argument("--checkpoint", type=Path, metavar="DIR", help="what --served was built from, for `reference`")
    run.add_argument("--cache", type=Path, default=_CACHE, metavar="DIR", help="builds are kept here (%(default)s)")
    commands.add_parser("streaming", help="streamed against offline speech over chunk schedules: quality, not time")
    endure = commands.add_parser("endure", help="a server at capacity: fails where anything that it holds grows")
    endure.add_argument(
        "--minutes",
        type=_long_enough,
        default=60,
        help=f"default: %(default)s; at least {_FEWEST_MINUTES}, for what a server fills in its first ones is no leak",
    )
    _add_capacity(
        commands.add_parser("capacity", help="how many turns a replica answers at once, first sounds in time")
    )
    commands.add_parser("plot", help="draw the result files")
    commands.add_parser("table", help="print the targets with what was measured, in Markdown")
    return parser


def _add_capacity(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Finds the number of streams at which 95 of 100 first sounds still come in time and as many answers play "
        "without a gap: doubles it until it is too much, halves what is between, and looks at the answer twice. "
        "docs/capacity.md says what follows from it."
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--url", metavar="HOST:PORT", help="a server that runs, with nobody else on it")
    place.add_argument("--served", type=Path, metavar="DIR", help="start one from what `stream-omni build` wrote")
    add = parser.add_argument
    add("--profile", default="cpu", metavar="NAME", help="that the server was built with (%(default)s)")
    add("--first-audio-ms", type=float, default=600, metavar="MS", help="what is in time (default: %(default)g)")
    add("--most", type=int, default=64, metavar="N", help="streams that are tried (default: %(default)s)")
    add("--turns", type=int, default=40, metavar="N", help="judged at each level, at least (default: %(default)s)")
    add("--answer-s", type=float, default=10, metavar="S", help="the longest answer (default: %(default)g)")
    add("--cache", type=Path, default=_CACHE, metavar="DIR", help="where a started server's variant is kept")
    add(
        "--manifest",
        type=Path,
        default=_HELD_OUT,
        metavar="FILE",
        help="spoken questions, as for `stream-omni eval` (default: the demo's held-out ones)",
    )


if __name__ == "__main__":
    sys.exit(main())
