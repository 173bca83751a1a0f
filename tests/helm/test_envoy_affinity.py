"""An answer's first headers name the server that has the turn, and a later call that carries that name reaches it."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from tests.helm.test_envoy import page, until
from tests.helm.test_envoy_names import Pod, Stand, stand  # noqa: F401

_HEADER = "x-stream-omni-server"
_TURNS, _CALLS = 10, 20


def _named(call: Any) -> str | None:
    """Whom the headers of its answer name; the call itself goes on."""
    name: str | None = dict(call.initial_metadata()).get(_HEADER)
    assert call.is_active()
    return name


def _ask(stand: Stand, name: str) -> tuple[str, str | None]:  # noqa: F811
    """A short call that carries ``name``: the address of who got it, and whom its answer names."""
    taker, call = stand.begin((_HEADER, name))
    named = _named(call)
    call.cancel()  # the edge does not let in so many at once
    return taker, named


def test_turns_are_balanced_and_their_first_headers_name_who_has_them(stand: Stand) -> None:  # noqa: F811
    begun = [stand.begin() for _ in range(_TURNS)]
    assert {taker for taker, _ in begun} == {pod.address for pod in stand.pods}
    for taker, call in begun:
        assert b64decode(_named(call) or "").decode().startswith(f"{taker}:")


def test_calls_that_name_a_server_reach_it_however_idle_the_other_is(stand: Stand) -> None:  # noqa: F811
    taker, turn = stand.begin()
    name = _named(turn)
    assert name
    # Envoy names again only whom the call has not named itself.
    assert {_ask(stand, name) for _ in range(_CALLS)} == {(taker, None)}


def _stops(pod: Pod, stand: Stand) -> None:  # noqa: F811
    """It still says that it is ready: first calls go there in vain, and then elsewhere."""
    pod.stop()
    closed = re.compile(rf"^servers::{pod.address}:\d+::cx_active::0$", re.MULTILINE)
    until(lambda: closed.search(page(stand.admin, "/clusters")))


def _is_not_ready(pod: Pod, stand: Stand) -> None:  # noqa: F811
    pod.is_ready = False
    until(lambda: pod.address not in stand.known())


@pytest.mark.parametrize("lose", [_stops, _is_not_ready])
def test_calls_that_name_a_server_that_is_gone_are_answered_by_another(
    lose: Callable[[Pod, Stand], None],
    stand: Stand,  # noqa: F811
) -> None:
    taker, turn = stand.begin()
    name = _named(turn)
    assert name
    for pod in stand.pods:
        if pod.address == taker:
            lose(pod, stand)
    answers = {_ask(stand, name) for _ in range(_CALLS)}
    ((other, named),) = answers
    assert other != taker and named not in (None, name)
