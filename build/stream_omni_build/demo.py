"""``make demo``: from nothing to a spoken answer about a picture, on a laptop."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stream_omni_client.ask_command import main as ask

from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni_build.main import main as build
from stream_omni_build.random_checkpoint import main as build_random

_MEDIA = Path(__file__).parents[1] / "demo" / "media"
_HONESTY = """
Until the trained demo checkpoint exists, this one has RANDOM weights of the real architecture: what you see is the real
server, the real stages and the real stream, but transcript, text and sound mean nothing.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Build (once), serve, ask, write the answer, stop. The exit code is the first one that is not 0."""
    arguments = _parser().parse_args(argv)
    weights, served = arguments.served / "checkpoints", arguments.served / "tiny"
    if code := build_random(["--size", "tiny", "--out", str(weights)]):
        return code
    checkpoint, cosyvoice = weights / "stream-omni-tiny", weights / "cosyvoice-tiny"
    sources = ["--checkpoint", str(checkpoint), "--cosyvoice", str(cosyvoice)]
    if code := build([*sources, "--target", "cpu", "--out", str(served)]):
        return code
    print(_HONESTY)
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        try:
            print("starting the server ...", flush=True)
            with TritonServer(served, log=log) as server:
                print(f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}, metrics {server.metrics_url}\n")
                question, picture = _MEDIA / "question.wav", _MEDIA / "picture.png"
                print(f'asking aloud "What colour is the circle on the left?" ({question.name}, {picture.name})\n')
                asked = ["--audio", str(question), "--image", str(picture), "--output", "speech"]
                code = ask([*asked, "--out", str(arguments.out), "--url", server.grpc_url])
        except LaunchError as error:
            log.seek(0)
            print(f"{log.read()}\nmake demo: {error}", file=sys.stderr)
            return 1
    if code == 0:
        print("\nIt is yours: make serve, then stream-omni ask --url HOST:PORT --text hello --output speech")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description="Build a small server, ask it a question, stop it.")
    parser.add_argument("--served", type=Path, default=Path("served"), help="where to build (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("answer.wav"), help="the answer (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
