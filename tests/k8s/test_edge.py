"""Three real servers behind the chart's Envoy: turns are spread, and only those on a killed server notice anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from stream_omni_client import ConnectionFailed, Overloaded, ServerError, StreamOmni

from tests.helm.chart import Rendered, merged, render
from tests.helm.test_envoy import until
from tests.k8s import addresses
from tests.k8s.edge import Edge, edge
from tests.k8s.replica import Ending, Replica
from tests.k8s.turns import LONG, SHORT, Turn
from tests.k8s.values import PLACES, THREE

pytestmark = pytest.mark.k8s

REPLICAS = 3
PATIENCE_S = 300.0  # of the tests, for a machine that does other things
_IS_IT_S = 30.0  # what Envoy's health checks and ejections may take to end
_TYPED = (ConnectionFailed, ServerError)


@dataclass
class Stand:
    """``alone``: what a LONG turn gives without company."""

    rendered: Rendered
    built: Path
    folder: Path
    edge: Edge
    replicas: list[Replica] = field(default_factory=list)
    alone: str = ""

    def start(self, number: int) -> Replica:
        return Replica(self.rendered.pod("server"), self.built, self.folder, number)

    def restart(self, number: int) -> None:
        """At its old address, as a container is; until turns go there again."""
        self.replicas[number] = self.start(number)
        self.replicas[number].wait_until_ready()
        self.edge.wait_for_healthy(REPLICAS, _IS_IT_S)

    def active(self) -> list[int]:
        """Turns of each server that run through the edge."""
        hosts = self.edge.hosts()
        return [hosts[replica.address].active for replica in self.replicas]


@pytest.fixture(scope="module")
def stand(rendered: Rendered, built_with_places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    with ExitStack() as stack:
        servers = [addresses.of_server(number) for number in range(REPLICAS)]
        running = Stand(rendered, built_with_places, folder, stack.enter_context(edge(rendered, folder, servers)))
        for number in range(REPLICAS):
            running.replicas.append(running.start(number))
        stack.callback(lambda: [replica.close() for replica in running.replicas])
        print(f"\n  {REPLICAS} servers start", flush=True)
        for replica in running.replicas:
            replica.wait_until_ready()
            print(f"  {replica.name}: ready after {replica.started_in_s:.0f} s", flush=True)
        running.edge.wait_for_healthy(REPLICAS, _IS_IT_S)
        with StreamOmni(running.edge.url) as client:
            running.alone = Turn(client, LONG).finish().content
        yield running


@pytest.fixture
def client(stand: Stand) -> Iterator[StreamOmni]:
    with StreamOmni(stand.edge.url, max_retries=0, first_event_timeout_s=PATIENCE_S, idle_timeout_s=PATIENCE_S) as omni:
        yield omni


def test_turns_of_one_connection_are_spread(stand: Stand, client: StreamOmni) -> None:
    """Over a Service alone all thirty would be on one server: it has twelve places."""
    before = stand.edge.stat("http.edge.downstream_cx_total")
    turns = [Turn(client, LONG) for _ in range(30)]
    for turn in turns:
        turn.wait_for_an_event()
    spread = stand.active()
    print(f"  thirty turns of one connection, by server: {spread}", flush=True)
    for turn in turns:
        turn.leave()
    for turn in turns:
        turn.finish()
    assert stand.edge.stat("http.edge.downstream_cx_total") - before <= 1
    assert sum(spread) == 30 and all(7 <= active <= PLACES for active in spread), spread


def test_turns_are_left_by_messages_that_find_their_servers(stand: Stand, client: StreamOmni) -> None:
    """A cancel of the call would show as a reset of its stream."""
    resets = stand.edge.stat("http.edge.downstream_rq_rx_reset")
    turns = _long_turns(client, 9)
    assert sum(stand.active()) == 9 and min(stand.active()) > 0
    left_s = time.monotonic()
    for turn in turns:
        turn.leave()
    until(lambda: sum(stand.active()) == 0)
    took_s = time.monotonic() - left_s
    print(f"  nine turns on three servers ended {took_s:.2f} s after they were left", flush=True)
    for turn in turns:
        turn.finish()
    assert stand.edge.stat("http.edge.downstream_rq_rx_reset") == resets


def test_a_replica_that_is_taken_away_ends_no_turn(stand: Stand, client: StreamOmni) -> None:
    turns = _long_turns(client, 9)
    on_it = stand.active()[0]
    assert on_it > 0
    endings: list[Ending] = []
    leaving = threading.Thread(target=lambda: endings.append(stand.replicas[0].end()))
    leaving.start()
    came_meanwhile = []
    while leaving.is_alive():
        came_meanwhile.append(Turn(client, SHORT).finish())
        time.sleep(0.2)
    (ending,) = endings
    print(f"  it had {on_it} turns; {len(came_meanwhile)} more came while it ended: {ending}", flush=True)
    finished = [turn.finish() for turn in turns]
    assert ending.is_clean, ending
    assert [turn.error for turn in [*finished, *came_meanwhile] if turn.error] == []
    assert {turn.content for turn in finished} == {stand.alone}
    assert len(came_meanwhile) >= 3 and len({turn.content for turn in came_meanwhile}) == 1
    stand.restart(0)


def test_a_replica_that_is_killed_ends_its_own_turns_with_an_error_and_no_other_and_comes_back(
    stand: Stand, client: StreamOmni
) -> None:
    turns = _long_turns(client, 9)
    lost, ejections = stand.active()[1], _ejections(stand)
    assert 0 < lost < 9
    print(f"  a server with {lost} of 9 turns is killed", flush=True)
    stand.replicas[1].kill()
    at_once = [Turn(client, SHORT) for _ in range(12)]  # before any health check can have noticed
    assert [turn.finish().error for turn in at_once] == [None] * 12
    failed = [turn for turn in turns if turn.finish().error]
    assert len(failed) == lost and all(isinstance(turn.error, _TYPED) for turn in failed), [t.error for t in failed]
    assert {turn.content for turn in turns if not turn.error} == {stand.alone}
    assert _ejections(stand) > ejections  # it refused connections, so it was left alone without a health check
    assert not stand.edge.hosts()[stand.replicas[1].address].is_healthy
    stand.replicas[1].close()
    stand.restart(1)
    before = {address: host.total for address, host in stand.edge.hosts().items()}
    again = _long_turns(client, 12)
    shares = [host.total - before[address] for address, host in stand.edge.hosts().items()]
    print(f"  when it is back, 12 more turns are spread as {shares}", flush=True)
    for turn in again:
        turn.leave()
    assert all(2 <= share <= 6 for share in shares), shares
    assert stand.edge.stat("cluster.servers.outlier_detection.ejections_active") == 0


def test_more_turns_than_the_edge_lets_in_are_refused_as_a_server_refuses(stand: Stand) -> None:
    few = render(merged(THREE, {"envoy": {"maxTurns": 3}}))
    servers = [replica.address for replica in stand.replicas]
    with edge(few, stand.folder, servers, number=1) as narrow, StreamOmni(narrow.url, max_retries=0) as client:
        narrow.wait_for_healthy(REPLICAS, _IS_IT_S)
        turns = _long_turns(client, 3)
        refused = Turn(client, SHORT).finish().error
        assert isinstance(refused, Overloaded), refused
        assert refused.reason == "OVERLOADED" and refused.retry_after == 1.0
        assert narrow.stat("cluster.servers.upstream_rq_active_overflow") == 1
        with StreamOmni(narrow.url) as patient:  # which asks again, as clients do unless told otherwise
            waiting = Turn(patient, SHORT)
            turns[0].leave()
            assert waiting.finish().error is None
        for turn in turns[1:]:
            turn.leave()


def _long_turns(client: StreamOmni, count: int) -> list[Turn]:
    """All of them answering."""
    turns = [Turn(client, LONG) for _ in range(count)]
    for turn in turns:
        turn.wait_for_an_event()
    return turns


def _ejections(stand: Stand) -> int:
    return stand.edge.stat("cluster.servers.outlier_detection.ejections_enforced_total")
