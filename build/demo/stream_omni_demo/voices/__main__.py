"""The corpus by itself: see what is installed, how well each voice is understood, and have it spoken.

python -m stream_omni_demo.voices check
python -m stream_omni_demo.voices corpus [--work DIR] [--plan full|smoke]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stream_omni_demo.judge import Judge
from stream_omni_demo.pipeline import WORK, GateError, Workshop, run_stages
from stream_omni_demo.plan import PLANS
from stream_omni_demo.voices.audition import LARGEST_WER, audition
from stream_omni_demo.voices.cast import CAST, OUTPUT, SYNTHESIZERS
from stream_omni_demo.voices.stages import STAGES
from stream_omni_demo.voices.synthesizer import MissingError
from stream_omni_demo.world.sentences import question_sentences

_AUDITION_SENTENCES = 20


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


def hold_auditions(names: Sequence[str]) -> int:
    """Prints word error rate and speed of each voice; 1 if one is not understood well enough."""
    judge, texts = Judge(), question_sentences(np.random.default_rng(0), _AUDITION_SENTENCES)
    well = True
    for voice in (OUTPUT, *CAST):
        if not names or voice.name in names:
            found = audition(voice, texts, judge)
            well &= found.word_error_rate <= LARGEST_WER
            print(
                f"{voice.name:20} {found.word_error_rate:6.1%} wrong, {found.realtime_factor:.3f} of real time",
                flush=True,
            )
    return 0 if well else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="which synthesizers are installed, and how to install the others")
    auditions = commands.add_parser("audition", help="how well each voice is understood, and how fast it speaks")
    auditions.add_argument("voice", nargs="*", help="by their names in voices/cast.py; all, if none is named")
    corpus = commands.add_parser("corpus", help="have the corpus spoken; goes on where it was interrupted")
    corpus.add_argument("--work", type=Path, default=WORK, metavar="DIR")
    corpus.add_argument("--plan", choices=PLANS, default="full")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check()
    try:
        if arguments.command == "audition":
            return hold_auditions(arguments.voice)
        run_stages(STAGES, [], Workshop(arguments.work, PLANS[arguments.plan]))
    except (GateError, MissingError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
