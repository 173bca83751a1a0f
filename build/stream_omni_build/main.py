"""``stream-omni build``: a checkpoint to a directory that ``stream-omni serve`` serves."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream_omni.checkpoint_files import CheckpointError
from stream_omni_build.build import OutError, Sources, build
from stream_omni_build.parity import ParityError
from stream_omni_build.progress import Progress
from stream_omni_build.ready_graphs import GraphsError
from stream_omni_build.repository import ProfileError, find_profile
from stream_omni_build.weight_plan import NoSpaceError

DESCRIPTION = """\
Make DIR a served model: graphs in ONNX, checked against the networks they come from, the tokenizer and the voices, and
the model repository that Triton loads, with a manifest of what it was made from and what the checks found. DIR can be
moved and copied; it needs neither the checkpoint nor PyTorch.

A build from the same files does nothing. After a change of the profile alone, only the repository is written again.
"""
EPILOG = """\
examples:
  stream-omni build --checkpoint stream-omni-8b --cosyvoice CosyVoice-300M-25Hz --target cpu --out served
  stream-omni serve --repository served

without real weights, first:
  stream-omni build random --size tiny --out checkpoints     (see stream-omni build random --help)
"""


def main(argv: list[str]) -> int:
    """Exit code 0 when ``--out`` holds the complete build, 1 when it could not be made."""
    if argv[:1] == ["random"]:
        from stream_omni_build import random_checkpoint  # needs PyTorch

        return random_checkpoint.main(argv[1:])
    arguments = make_parser().parse_args(argv)
    progress = Progress(lambda line: print(line, flush=True))
    try:
        profile = find_profile(arguments.profile or arguments.target)
        sources = Sources(arguments.checkpoint, arguments.cosyvoice, arguments.graphs)
        build(sources, profile, arguments.out, progress)
    except (CheckpointError, ProfileError, GraphsError, ParityError, NoSpaceError, OutError, OSError) as error:
        print(f"stream-omni build: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out} is complete; serve it with: stream-omni serve --repository {arguments.out}")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni build",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, metavar="DIR", help="a stream-omni-8b directory")
    add("--cosyvoice", type=Path, required=True, metavar="DIR", help="a CosyVoice-300M-25Hz directory, for the voice")
    add("--target", choices=("cpu",), required=True, help="what will run it; cpu: ONNX Runtime")
    add(
        "--graphs",
        type=Path,
        metavar="DIR",
        help="graphs/ of an earlier build for the same sizes and profile: PyTorch is not needed then, and nothing is "
        "compared with it",
    )
    add(
        "--profile",
        metavar="NAME|FILE",
        help="how it is deployed: threads, turns at once, limits (default: as the target)",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where to build; made if missing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
