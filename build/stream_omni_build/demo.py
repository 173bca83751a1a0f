"""``make demo``: from a checkout to a spoken answer about a picture, on a laptop, without PyTorch."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stream_omni_client.ask_command import main as ask

from stream_omni.serving.launcher import LaunchError, TritonServer
from stream_omni_build.main import main as build

_DEMO = Path(__file__).parents[1] / "demo"
_CHECKPOINT = _DEMO / "checkpoint"
_QUESTION, _PICTURE = (_DEMO / "media" / name for name in ("question.wav", "picture.png"))
_WORDS = "What colour is the circle on the left?"
_EXAMPLES = _DEMO / "media" / "questions.txt"


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the shipped graphs (once), serve, ask, write the answer, stop. The exit code is the first one not 0."""
    arguments = _parser().parse_args(argv)
    served = arguments.served / "demo"
    if code := build([*_sources(), "--target", "cpu", "--out", str(served)]):
        return code
    if arguments.only_build:
        return 0
    if arguments.page:
        return _serve_page(served)
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        try:
            print("\nstarting the server ...", flush=True)
            with TritonServer(served, log=log) as server:
                print(f"ready: gRPC {server.grpc_url}, metrics {server.metrics_url}\n")
                print(f'asking aloud "{_WORDS}" ({_shown(_QUESTION)}, {_shown(_PICTURE)})\n')
                asked = ["--audio", str(_QUESTION), "--image", str(_PICTURE), "--output", "speech"]
                code = ask([*asked, "--out", str(arguments.out), "--url", server.grpc_url])
        except LaunchError as error:
            log.seek(0)
            print(f"{log.read()}\nmake demo: {error}", file=sys.stderr)
            return 1
    if code == 0:
        print(_what_next())
    return code


def _serve_page(served: Path) -> int:
    """Until Ctrl-C."""
    from stream_omni_client.gateway.command import main as gateway  # of the extra `gateway`

    print("\nstarting the server ...", flush=True)
    with tempfile.TemporaryFile("w+") as log, TritonServer(served, log=log) as server:
        print(f"show it {_shown(_PICTURE)}, for example\n", flush=True)
        return gateway(["--url", server.grpc_url, "--examples", str(_EXAMPLES)])


def _sources() -> list[str]:
    folders = {"checkpoint": "stream-omni-demo", "cosyvoice": "cosyvoice-demo", "graphs": "graphs"}
    return [part for option, name in folders.items() for part in (f"--{option}", str(_CHECKPOINT / name))]


def _what_next() -> str:
    questions = "\n".join(f"  {question}" for question in _EXAMPLES.read_text(encoding="utf-8").splitlines())
    return f"""
A small model, which knows drawn scenes like {_shown(_PICTURE)} and a little conversation. It understands, for example:
{questions}
Go on with your own voice: `make talk` serves a page to talk to. Or by files: `make serve`, and in another shell, with
the gRPC address that it prints:
  .venv/bin/stream-omni ask --url HOST:PORT --audio mine.wav --image {_shown(_PICTURE)} --output speech
"""


def _shown(path: Path) -> Path:
    """As one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description="Serve the demo checkpoint and ask it a question.")
    parser.add_argument("--served", type=Path, default=Path("served"), help="where to build (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("answer.wav"), help="the answer (default: %(default)s)")
    parser.add_argument("--page", action="store_true", help="ask nothing, and serve a page to talk to")
    parser.add_argument("--only-build", action="store_true", help="build, and ask nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
