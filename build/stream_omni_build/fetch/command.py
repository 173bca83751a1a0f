"""``stream-omni fetch``: the published checkpoints, from their hubs to the disk, verified."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from stream_omni.checkpoint_files import CheckpointError
from stream_omni_build.fetch.checkpoints import COSYVOICE, STREAM_OMNI, Checkpoint, Source
from stream_omni_build.fetch.connection import FetchError
from stream_omni_build.fetch.fetch import fetch
from stream_omni_build.progress import Progress

DESCRIPTION = f"""\
Download what `stream-omni build` makes a served model of: DIR/{STREAM_OMNI.folder} from Hugging Face (about 26 GB) and
DIR/{COSYVOICE.folder} from ModelScope (about 1 GB; without its own language model, which is not used).

An interrupted download goes on where it broke off. Every file is compared with the digest that the hub lists, and
DIR/fetched.json records them: another run verifies the files by it, without the network. The weights stand under
terms of their own: read the README.md and LICENSE that come with them (docs/licences.md).
"""
EPILOG = """\
examples:
  stream-omni fetch --out checkpoints
  stream-omni fetch --out checkpoints --only cosyvoice --cosyvoice hf:OWNER/NAME
      from another repository, such as a mirror of yours
  stream-omni fetch --out checkpoints --stream-omni hf:ICTNLP/stream-omni-8b@COMMIT
      a revision that does not change

then:
  stream-omni build --checkpoint checkpoints/stream-omni-8b --cosyvoice checkpoints/CosyVoice-300M-25Hz ...

environment: HF_ENDPOINT and MODELSCOPE_ENDPOINT name mirrors of the hubs, HTTPS_PROXY a proxy; HF_TOKEN and
MODELSCOPE_API_TOKEN let in where a repository asks for access.
"""
_PARTS = {"stream-omni": STREAM_OMNI, "cosyvoice": COSYVOICE}


def main(argv: list[str]) -> int:
    """Exit code 0 when everything asked for is there and verified, 1 otherwise."""
    arguments = make_parser().parse_args(argv)
    progress = Progress(lambda line: print(line, flush=True))
    try:
        for name, checkpoint in _PARTS.items():
            if arguments.only in (None, name):
                fetch(_chosen(checkpoint, arguments), arguments.out, progress, arguments.update)
    except (FetchError, CheckpointError, OSError) as error:
        print(f"stream-omni fetch: {error}", file=sys.stderr)
        return 1
    return 0


def _chosen(checkpoint: Checkpoint, arguments: argparse.Namespace) -> Checkpoint:
    source = arguments.stream_omni if checkpoint is STREAM_OMNI else arguments.cosyvoice
    return dataclasses.replace(checkpoint, source=source)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni fetch",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="where to; made if missing")
    add("--only", choices=tuple(_PARTS), help="one of the two")
    for name, checkpoint in _PARTS.items():
        add(
            f"--{name}",
            type=_source,
            default=checkpoint.source,
            metavar="HUB:OWNER/NAME[@REVISION]",
            help="where it is published; HUB is hf (Hugging Face) or ms (ModelScope) (default: %(default)s)",
        )
    add("--update", action="store_true", help="ask the hub for a newer revision, although everything is there")
    return parser


def _source(text: str) -> Source:
    try:
        return Source.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
