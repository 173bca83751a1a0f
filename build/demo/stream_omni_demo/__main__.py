"""Train the demo checkpoint: `make train-demo`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

for _library in ("OMP", "OPENBLAS", "MKL"):  # read when numpy and torch are first imported: see Plan.threads
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

from stream_omni_demo.pipeline import WORK, GateError, Stage, Workshop, accept, run_stages  # noqa: E402
from stream_omni_demo.plan import PLANS  # noqa: E402

_DESCRIPTION = """\
Make the demo checkpoint: speech of synthesizers, drawn scenes and questions about them, and every stage of the real
architecture trained on them. Needs two cores, 4 GB of memory and some hours; --plan smoke takes two minutes and only
shows that everything runs.

A stage that is done is not made again, and one that was interrupted goes on where it was: run the same command again.
A stage whose result does not pass its gate ends the run with exit code 1, and is made again by the next one unless it
is accepted as it is. What each stage took, measured and missed is in DIR/training.json.
"""
_EPILOG = """\
examples:
  python -m stream_omni_demo --list                          the stages, in order
  python -m stream_omni_demo                                 all of them (make train-demo)
  python -m stream_omni_demo vocoder --work /big/disk        one, and what it needs
  python -m stream_omni_demo.voices check                    which synthesizers are installed
  python -m stream_omni_demo.checkpoint                      put the result into this repository
"""


def main(argv: Sequence[str] | None = None) -> int:
    from stream_omni_demo.stages import STAGES  # after the number of threads is set

    arguments = _parser().parse_args(argv)
    if arguments.list:
        print(_listed(STAGES))
        return 0
    try:
        workshop = Workshop(arguments.work, PLANS[arguments.plan], _say)
        for name in arguments.accept:
            _say(f"{name}: accepted, although {accept(STAGES, name, workshop)}")
        run_stages(STAGES, arguments.stages, workshop)
    except (GateError, ValueError) as error:
        print(f"stream_omni_demo: {error}", file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _listed(stages: Sequence[Stage]) -> str:
    width = max(len(stage.name) for stage in stages)
    return "\n".join(f"{stage.name:<{width}}  {stage.about}" for stage in stages)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stream_omni_demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="with what it needs; all of them, if none is named")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="what is made (default: %(default)s)")
    parser.add_argument("--plan", choices=PLANS, default="full", help="how much of everything (default: %(default)s)")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="STAGE", help="go on from it although it missed its gate"
    )
    parser.add_argument("--list", action="store_true", help="list the stages and do nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
