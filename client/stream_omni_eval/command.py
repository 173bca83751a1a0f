"""``stream-omni eval``: how good a served system is, on questions whose answers are known."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from stream_omni_client import StreamOmniError

from stream_omni_eval.evaluation import Outcome, Plan, evaluate
from stream_omni_eval.hearing import Ear
from stream_omni_eval.losses import RESULT, TURNS, Evaluated, losses, table
from stream_omni_eval.manifest import ManifestError, read_manifest

REPORT = "report.md"

DESCRIPTION = """\
Ask a served system the questions of a manifest in every way that each can be asked (written or spoken, to be answered
in text or in speech), alone, many at a time and in one piece, and tell what was understood, answered and said:

  the transcript's word error rate, and the share of right answers
  the word error rate of the answer's speech against its own text, as an independent judge (Whisper base) hears it,
  beside that of the voice that it was trained to have
  whether company changes an answer; pauses, clipping, and whether the joins of streamed pieces are heard
  the time to the first sound
"""
EPILOG = f"""\
DIR gets {REPORT}, {RESULT}, {TURNS} (every turn: look here for what went wrong) and pictures.

A manifest has one JSON object a line; paths are relative to it:
  {{"audio": "a.wav", "image": "a.png", "text": "What colour is the cat?", "keywords": ["black"], "group": "loud"}}
keys: text (the question in writing) and/or audio (spoken; transcript, if not text, is what is said in it), image (one,
or a list), answers (right ones, word for word) or keywords ("grey|silver": one of them) with forbidden words, group,
source_audio with source_text (a recording of the imitated voice), name

examples:
  stream-omni eval --manifest questions.jsonl --repository served/demo --out quality
  stream-omni eval --manifest questions.jsonl --url localhost:8001 --out quality --limit 20 --judge none
  stream-omni eval --manifest questions.jsonl --repository served/gpu-1-24g --out int8 --against bf16 --lose-at-most 2
"""


def main(argv: list[str]) -> int:
    """Exit code 0 when all was asked and judged, 1 when it could not be, or more was lost than may be; 2 for what
    cannot be asked."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.lose_at_most is not None and not arguments.against:
        parser.error("--lose-at-most needs --against, the evaluation that it is held to")
    try:
        items = [item for path in arguments.manifest for item in read_manifest(path)][: arguments.limit]
        before = Evaluated.read(arguments.against) if arguments.against else None
        if before:
            before.require(items)
        ear = _ear(arguments.judge)
        plan = Plan(arguments.streams, arguments.in_one_piece)
        with _server(arguments) as url:
            outcome = evaluate(url, items, ear, plan, arguments.out, _say)
    except ManifestError as error:
        print(f"stream-omni eval: {error}", file=sys.stderr)
        return 2
    except (StreamOmniError, OSError, RuntimeError) as error:
        print(f"stream-omni eval: {error}", file=sys.stderr)
        return 1
    _write(outcome, arguments.out)
    return _compare(before, arguments) if before else 0


def _compare(before: Evaluated, arguments: argparse.Namespace) -> int:
    """Tell what was lost; the exit code, 1 where it is too much."""
    found = losses(before, Evaluated.read(arguments.out))
    text = table(found)
    with (arguments.out / REPORT).open("a", encoding="utf-8") as report:
        report.write(f"\n{text}")
    print(text)
    most = arguments.lose_at_most
    if most is None or all(loss.worst <= most for loss in found):
        return 0
    wrong = ", ".join(f"{loss.mode}: {loss.worst:.1f} points" for loss in found if loss.worst > most)
    print(f"stream-omni eval: more was lost than {most:g} points ({wrong})", file=sys.stderr)
    return 1


def _write(outcome: Outcome, out: Path) -> None:
    from stream_omni_eval.report import report

    text = report(outcome.result)
    (out / REPORT).write_text(text, encoding="utf-8")
    print(f"\n{text}")
    try:
        from stream_omni_eval.plots import draw
    except ModuleNotFoundError as error:
        _say(f"no pictures: {error.name} is not installed (pip install 'stream-omni[eval]')")
    else:
        draw(outcome.result, outcome.turns, outcome.spoken, out)
    _say(f"all of it: {out}")


@contextlib.contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[str]:
    """The gRPC endpoint: the given one, or that of a server which is started for the while."""
    if arguments.url:
        yield arguments.url
        return
    from stream_omni.serving.launcher import TritonServer

    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "server.log").open("w", encoding="utf-8") as log:
        _say("starting the server")
        with TritonServer(arguments.repository, log=log) as server:
            yield server.grpc_url


def _ear(name: str) -> Ear | None:
    """Raises RuntimeError, with what to install."""
    if name == "none":
        return None
    from stream_omni_eval.judge import Judge

    return Judge()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni eval",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--manifest", type=Path, required=True, action="append", metavar="FILE", help="may be given several times")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="the gRPC endpoint of a server")
    where.add_argument("--repository", type=Path, metavar="DIR", help="a built directory, to be served for the while")
    add("--out", type=Path, required=True, metavar="DIR", help="where the result goes; made if missing")
    add("--against", type=Path, metavar="DIR", help="the --out of an earlier evaluation: tell what was lost since")
    add("--lose-at-most", type=float, metavar="POINTS", help="with --against: exit code 1 where a mode lost more")
    add("--limit", type=_positive, metavar="N", help="only the first N items")
    add(
        "--streams",
        type=_positive,
        default=8,
        metavar="N",
        help="turns in company (default: %(default)s); 1: no company",
    )
    add("--no-whole", dest="in_one_piece", action="store_false", help="do not compare with speech in one piece")
    add("--judge", choices=("whisper-base", "none"), default="whisper-base", help="who hears (default: %(default)s)")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
