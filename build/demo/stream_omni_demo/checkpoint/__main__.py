"""Put a trained checkpoint into the repository, with the graphs that `make demo` fills from it.

python -m stream_omni_demo.checkpoint [--work DIR] [--plan full|smoke] [--out DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stream_omni_demo.checkpoint.folders import packed_of
from stream_omni_demo.checkpoint.shipping import ship, write_record
from stream_omni_demo.pipeline import WORK, Workshop, left_to_make
from stream_omni_demo.plan import PLANS
from stream_omni_demo.stages import STAGES

SHIPPED = Path(__file__).parents[2] / "checkpoint"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stream_omni_demo.checkpoint",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="of the training")
    parser.add_argument("--plan", choices=PLANS, default="full", help="of the training")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="DIR", help="where it goes")
    arguments = parser.parse_args()
    workshop = Workshop(arguments.work, PLANS[arguments.plan])
    if left := left_to_make(STAGES, workshop):
        parser.error(f"{arguments.work} lacks {', '.join(left)} of the plan {arguments.plan}: run make train-demo")
    ship(packed_of(workshop), workshop.folder / "built", arguments.out, workshop.say)
    write_record(workshop, arguments.out)


if __name__ == "__main__":
    main()
