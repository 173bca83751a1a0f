"""The supervised server that fault tests break again and again, and what its turns are without a fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.company import OVER_HTTP, Outcome, Turn
from tests.faults.seen import slowness
from tests.faults.supervised import Supervised
from tests.serving.variants import built_with

_PATIENCE_S = 600.0
COMPANY = ("text", "speak", "question")
EIGHT = (*COMPANY, "picture", "listen", "question", "speak over HTTP", "text over HTTP")  # while something is broken
_PLACES = 10  # for them, a unary turn, and the supervisor's own


@pytest.fixture(scope="session")
def serving(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Looks at its stages every two seconds, and never gives up."""
    options = {
        "probe_interval_s": 2,
        "probe_timeout_s": 20 * slowness(),
        "tries": 1000,
        "reloads_per_server": 1000,
        "drain_timeout_s": 10,
        "http_port": 0,
    }
    folder = tmp_path_factory.mktemp("faults")
    with Supervised(built_with(built_directory, folder, slots=_PLACES), folder / "serve.log", **options) as serving:
        yield serving


@pytest.fixture(scope="session")
def alone(serving: Supervised) -> dict[str, tuple[Outcome, dict[str, int]]]:
    """Each kind of turn by itself, and how many events of each kind it had."""
    found = {}
    for kind in {*EIGHT, "whole"}:
        turn = Turn.at(serving, kind)
        found[kind] = turn.finish(_PATIENCE_S), turn.events
        assert found[kind][0].ending == "done"
    for kind, same in OVER_HTTP.items():
        assert found[kind][0].content == found[same][0].content
    return found
