"""``python -m stream_omni_monitoring``: write the dashboards and the rules, or check that they are up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stream_omni_monitoring.files import files
from stream_omni_monitoring.objectives import Objective
from stream_omni_monitoring.rules import RUNBOOKS

_CHART = Path(__file__).parents[2] / "helm" / "stream-omni"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 where ``--check`` finds a file that is missing or old, 2 for an objective that cannot be measured."""
    arguments = _parser().parse_args(argv)
    try:
        written = files(Objective(arguments.first_audio_s, arguments.share), arguments.runbooks_url)
    except ValueError as error:
        print(f"stream_omni_monitoring: {error}", file=sys.stderr)
        return 2
    old = [name for name, text in written.items() if not _is(arguments.out / name, text)]
    if arguments.check:
        for name in old:
            print(f"{arguments.out / name} is not up to date: run python -m stream_omni_monitoring", file=sys.stderr)
        return 1 if old else 0
    for name in old:
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written[name], encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stream_omni_monitoring",
        description="Write Grafana dashboards and Prometheus rules for Stream-Omni, as the Helm chart holds them.",
        epilog="example, for a promise of your own: python -m stream_omni_monitoring --first-audio-s 0.5 --share 0.99 "
        "--runbooks-url https://wiki.example.org/stream-omni --out monitoring",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    objective = Objective()
    parser.add_argument(
        "--out", type=Path, default=_CHART, metavar="DIR", help="gets dashboards/*.json and rules/*.yaml"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where something would change")
    parser.add_argument(
        "--first-audio-s",
        type=float,
        default=objective.first_audio_s,
        metavar="S",
        help="the promise: first sound within",
    )
    parser.add_argument(
        "--share", type=float, default=objective.share, metavar="R", help="of the spoken answers, such as 0.95"
    )
    parser.add_argument(
        "--runbooks-url",
        default=RUNBOOKS,
        metavar="URL",
        help="where docs/runbooks is to be read; the chart fills it in",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
