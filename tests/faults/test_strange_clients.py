"""Clients that open and never send, send half or nonsense, vanish, or do not read: nobody else notices."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from stream_omni.serving.stage_watch import SERVER
from tests.faults.company import KINDS, Turn
from tests.faults.conftest import COMPANY
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.faults.test_faults import FREEING_S, PATIENCE_S, Alone, left_in_use, lose, regions_of
from tests.serving.http_client import HttpTurn, samples
from tests.serving.raw_client import Stream
from tests.serving.test_company import Unread
from tests.serving.test_launcher import group

pytestmark = pytest.mark.faults

CLIENTS = 200
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HALVES = {  # of what each door speaks
    "gRPC": PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\x10\0\x01",  # settings, and the head of a frame
    "HTTP": b"POST /v2/models/turn/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{",
    "metrics": b"GET /metrics HTTP/1.1\r\nHos",
    "admin": b"GET /status HTTP/1.1\r\nHos",
}
DRAIN_S = 5
LONG_UNREAD = KINDS["speak"] | {"max_audio_ms": 60_000}


def doors(serving: Supervised) -> dict[str, tuple[str, int]]:
    found = {}
    for name in HALVES:
        host, _, port = serving.door(name).rpartition(":")
        found[name] = (host, int(port))
    return found


@contextmanager
def sockets(serving: Supervised, content: Callable[[str, int], bytes]) -> Iterator[int]:
    """A quarter of the clients at each door; all that one sends is ``content`` of the door's name and its number."""
    with ExitStack() as held:
        for number in range(CLIENTS):
            name = [*HALVES][number % len(HALVES)]
            client = held.enter_context(closing(socket.create_connection(doors(serving)[name], timeout=PATIENCE_S)))
            with suppress(ConnectionError):  # nonsense is hung up on
                client.sendall(content(name, number))
        yield CLIENTS


def nonsense(name: str, number: int) -> bytes:
    """Any bytes; what another door speaks; what is ours with changes."""
    chance = random.Random(number)
    content = bytearray(HALVES[chance.choice([*HALVES])] + chance.randbytes(chance.choice([3, 300, 30_000])))
    for _ in range(chance.randrange(8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content) if number % 3 else chance.randbytes(1000)


@contextmanager
def silent_streams(serving: Supervised) -> Iterator[int]:
    """gRPC streams that are open and on which nothing is asked."""
    leave = threading.Event()

    def nothing() -> Iterator[Any]:
        leave.wait()
        yield from ()

    own = [("grpc.use_local_subchannel_pool", 1)]  # a connection each
    with ExitStack() as held:
        held.callback(leave.set)
        for _ in range(CLIENTS // 4):
            channel = held.enter_context(grpc.insecure_channel(serving.grpc_url, options=own))
            grpc.channel_ready_future(channel).result(PATIENCE_S)
            held.callback(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(nothing()).cancel)
        yield CLIENTS // 4


@contextmanager
def vanishing(serving: Supervised) -> Iterator[int]:
    """Turns of all kinds whose clients break the connection at some time of it, four at once."""
    count = CLIENTS // 10
    kinds = ["text", "endless", "question", "picture"]
    for first in range(0, count, len(kinds)):
        streams = [Stream(serving.grpc_url, KINDS[kind]) for kind in kinds]
        time.sleep(0.01 * first)
        for stream in streams:
            stream.vanish()
    yield count


@contextmanager
def vanishing_over_http(serving: Supervised) -> Iterator[int]:
    """Likewise, of Triton's `generate_stream`."""
    count = CLIENTS // 10
    kinds = ["text", "endless", "speak", "endless"]
    for first in range(0, count, len(kinds)):
        turns = [HttpTurn(serving.door("HTTP"), KINDS[kind]) for kind in kinds]
        time.sleep(0.01 * first)
        for turn in turns:
            turn.vanish()
    yield count


@contextmanager
def unread(serving: Supervised) -> Iterator[int]:
    """Spoken answers that nobody fetches until the others have theirs, and then slowly."""
    readers = [Unread(serving.grpc_url, KINDS["speak"]) for _ in range(4)]
    yield len(readers)
    said = {reader.read(pause_s=0.05).tobytes() for reader in readers}
    assert len(said) == 1 and len(said.pop()) > 0


@contextmanager
def unread_over_http(serving: Supervised) -> Iterator[int]:
    """Likewise; longer, for the way to the client holds some megabytes."""
    readers = [HttpTurn(serving.door("HTTP"), LONG_UNREAD, reads_late=True) for _ in range(4)]
    yield len(readers)
    said = set()
    for reader in readers:
        pieces = []
        for answer in reader.answers():
            assert "error" not in answer, answer
            pieces.append(samples(answer).tobytes())
            time.sleep(0.05)
        said.add(b"".join(pieces))
    assert len(said) == 1 and len(said.pop()) > 0


STRANGE: dict[str, Callable[[Supervised], AbstractContextManager[int]]] = {
    "open and never send": lambda serving: sockets(serving, lambda name, number: b""),
    "send half and wait": lambda serving: sockets(serving, lambda name, number: HALVES[name]),
    "send nonsense": lambda serving: sockets(serving, nonsense),
    "open a stream and ask nothing": silent_streams,
    "vanish": vanishing,
    "vanish over HTTP": vanishing_over_http,
    "read late and slowly": unread,
    "read late and slowly over HTTP": unread_over_http,
}


@pytest.mark.parametrize("what", STRANGE)
def test_strange_clients_disturb_nobody(serving: Supervised, alone: Alone, what: str) -> None:
    fault = Fault("clients", what, "beside three turns", slowness())
    handles = open_handles(serving)
    recoveries, began_s = serving.recoveries(), time.monotonic()
    with STRANGE[what](serving) as fault.cases:
        turns = [Turn(serving.grpc_url, kind) for kind in COMPANY]
        outcomes = [turn.finish(PATIENCE_S) for turn in turns]
    fault.hear(outcomes, began_s)
    fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
    afterwards = [Turn(serving.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
    fault.wrong = sum(answer.content != alone[answer.kind][0].content for answer in outcomes + afterwards)
    fault.orphans = len(serving.orphans())
    fault.keep()
    assert [outcome.ending for outcome in outcomes + afterwards] == ["done"] * 2 * len(COMPANY)
    assert fault.lost_nothing, fault
    assert serving.recoveries() == recoveries and serving.is_ready()
    deadline_s = time.monotonic() + 10 * fault.slowness
    while (now := open_handles(serving)) > handles + len(COMPANY):  # connections of our own that are closing
        assert time.monotonic() < deadline_s, (handles, now)
        time.sleep(0.1)


def open_handles(serving: Supervised) -> int:
    """Of all its processes, the supervisor's included."""
    server = serving.status()["server"]["process"]
    return sum(len([*Path(f"/proc/{number}/fd").iterdir()]) for number in [serving.process.pid, *group(server)])


def test_who_never_sends_does_not_hold_up_the_end(built_directory: Path, tmp_path: Path, alone: Alone) -> None:
    with Supervised(built_directory, tmp_path / "log", drain_timeout_s=DRAIN_S, http_port=0) as serving:
        fault = Fault("SIGTERM", "with clients that never send", "idle", slowness())
        regions = regions_of(serving.processes()[SERVER])
        with silent_streams(serving) as streams, sockets(serving, lambda name, number: HALVES[name]) as halves:
            serving.process.terminate()
            began_s = time.monotonic()
            code = serving.process.wait(PATIENCE_S)
            took_s = time.monotonic() - began_s
        fault.cases = streams + halves
        lose(fault, serving, regions, [], alone, built_directory)
    assert code == 0 and fault.lost_nothing, fault
    assert took_s < DRAIN_S + 5 * fault.slowness
