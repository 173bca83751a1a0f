"""What ends this tritonserver over HTTP, and why it is closed: docs/decisions/0027-tritons-http-is-closed.md."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest

from tests.faults.company import Turn
from tests.faults.conftest import COMPANY
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.faults.test_faults import BROKEN, FREEING_S, PATIENCE_S, Alone, check, left_in_use
from tests.serving.http_client import PATH

pytestmark = pytest.mark.faults

DEPTH, CHUNKS = 100_000, 1_000_000
_NESTED = b'{"text": ' + b"[" * DEPTH + b"]" * DEPTH + b"}"
CRASHES = {
    f"JSON that is {DEPTH:,} deep": b"Content-Length: %d\r\n\r\n%b" % (len(_NESTED), _NESTED),
    f"a body in {CHUNKS:,} pieces": b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * CHUNKS + b"0\r\n\r\n",
}


@pytest.mark.parametrize("what", CRASHES)
def test_what_ends_the_server_over_http_is_survived(serving: Supervised, alone: Alone, what: str) -> None:
    fault, before = Fault("Triton's HTTP, opened", what, "middle", slowness()), serving.recoveries()
    turns = [Turn(serving.grpc_url, kind) for kind in ("endless", *COMPANY)]
    turns[0].wait_for(lambda heard: heard.get("audio", 0) >= 1, PATIENCE_S)
    injected_s = time.monotonic()
    send(serving.door("HTTP"), CRASHES[what])
    recoveries = serving.wait_for_recovery(before)
    outcomes = [turn.finish(PATIENCE_S) for turn in turns]
    fault.see(recoveries, injected_s)
    fault.hear(outcomes, injected_s)
    fault.slowness = max(fault.slowness, slowness())
    fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
    fault.orphans = len(serving.orphans())
    afterwards = [Turn(serving.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
    answers = [outcome for outcome in outcomes if outcome.ending == "done"] + afterwards
    fault.wrong = sum(answer.content != alone[answer.kind][0].content for answer in answers)
    fault.keep()
    assert outcomes[0].ending in BROKEN and {outcome.ending for outcome in outcomes} <= {"done", *BROKEN}
    check(fault, server_is_replaced=True)


def send(address: str, rest: bytes) -> None:
    """And wait until the server has hung up."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as client, suppress(ConnectionError):
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\n".encode() + rest)
        while client.recv(4096):
            pass
