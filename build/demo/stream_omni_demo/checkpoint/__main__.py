"""Put a trained checkpoint into the repository, with the graphs that `make demo` fills from it.

python -m stream_omni_demo.checkpoint [--work DIR] [--out DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stream_omni_demo.checkpoint.folders import packed_of
from stream_omni_demo.checkpoint.shipping import ship, write_record
from stream_omni_demo.pipeline import WORK, Workshop
from stream_omni_demo.plan import FULL

SHIPPED = Path(__file__).parents[2] / "checkpoint"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stream_omni_demo.checkpoint",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="of the training")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="DIR", help="where it goes")
    arguments = parser.parse_args()
    workshop = Workshop(arguments.work, FULL)
    ship(packed_of(workshop), workshop.folder / "built", arguments.out, workshop.say)
    write_record(workshop, arguments.out)


if __name__ == "__main__":
    main()
