"""The corpus by itself: see what is installed, and have it spoken.

python -m stream_omni_demo.voices check
python -m stream_omni_demo.voices corpus [--work DIR] [--plan full|smoke]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream_omni_demo.pipeline import GateError, Workshop, run_stages
from stream_omni_demo.plan import PLANS
from stream_omni_demo.voices.cast import CAST, OUTPUT, SYNTHESIZERS
from stream_omni_demo.voices.stages import STAGES
from stream_omni_demo.voices.synthesizer import MissingError

WORK = Path.home() / ".cache" / "stream-omni-demo"


def check() -> int:
    """Lists the synthesizers with their voices; 1 if something is missing."""
    complete = True
    for name, synthesizer in SYNTHESIZERS.items():
        voices = [voice.inner for voice in (OUTPUT, *CAST) if voice.synthesizer == name]
        if voices:
            missing = synthesizer.missing()
            complete &= not missing
            state = f"missing: {missing}" if missing else "installed"
            print(f"{name:9} {state}; {len(voices)} voices: {', '.join(voices)}")
    return 0 if complete else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="which synthesizers are installed, and how to install the others")
    corpus = commands.add_parser("corpus", help="have the corpus spoken; goes on where it was interrupted")
    corpus.add_argument("--work", type=Path, default=WORK, metavar="DIR")
    corpus.add_argument("--plan", choices=PLANS, default="full")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check()
    try:
        run_stages(STAGES, [], Workshop(arguments.work, PLANS[arguments.plan]))
    except (GateError, MissingError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
