"""Clients that leave thousands of turns at any moment, the last one too: the server keeps nothing of them, and stands.

By a cancel of the call, tritonserver 2.51 keeps a socket for each connection on which one met the end of its turn, and
fell once in some thousand (docs/decisions/0028-clients-leave-by-a-message.md).
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from stream_omni_client import AsyncStreamOmni, StreamOmni

from stream_omni.serving.launcher import TritonServer
from tests.faults.seen import Fault, slowness
from tests.faults.test_faults import FREEING_S, left_in_use
from tests.serving.raw_client import ask
from tests.sockets import inodes

pytestmark = pytest.mark.faults

CLIENTS, MINIMUM, LASTING_S = 6, 500, 40.0
MANY = 100  # turns of a client, until it is closed
CONNECTION_AGE_S = 2.0  # so that there are many connections


def leave_turns(url: str, turns: int, seed: int, until_s: float, counts: Counter[str]) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until_s:
        with StreamOmni(url) as client:
            for _ in range(turns):
                left = chance.randrange(1, 9)
                with client.stream("hi", max_tokens=chance.randrange(1, 7)) as stream:
                    for number, _ in enumerate(stream, 1):
                        if number == left:
                            break
                counts["done" if stream.reply.done else "left"] += 1


async def leave_turns_of_a_loop(url: str, turns: int, seed: int, until_s: float, counts: Counter[str]) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until_s:
        async with AsyncStreamOmni(url) as client:
            for _ in range(turns):
                left, number = chance.randrange(1, 9), 0
                async with client.stream("hi", max_tokens=chance.randrange(1, 7)) as stream:
                    async for _ in stream:
                        number += 1
                        if number == left:
                            break
                counts["done" if stream.reply.done else "left"] += 1


def sockets(server: TritonServer) -> int:
    assert server.process is not None
    return len(inodes(server.process.pid))


@pytest.mark.parametrize("kind", ["threads", "event loops"])
@pytest.mark.parametrize("turns", [MANY, 1])
def test_nothing_is_kept_of_who_has_left(built_directory: Path, tmp_path: Path, kind: str, turns: int) -> None:
    log, target = (tmp_path / "server.log").open("w"), f"leave, from {kind}{', and are closed' if turns == 1 else ''}"
    with log, TritonServer(built_directory, connection_age_s=CONNECTION_AGE_S, log=log, drain_timeout_s=3) as server:
        assert server.process is not None
        right = ask(server.grpc_url, text="hi", max_tokens=6)
        time.sleep(2 * CONNECTION_AGE_S)
        fault, process, before = Fault("clients", target, "at any event", slowness()), server.process, sockets(server)
        counts, until_s = Counter[str](), time.monotonic() + LASTING_S * fault.slowness
        work = leave_turns if kind == "threads" else lambda *given: asyncio.run(leave_turns_of_a_loop(*given))
        given = [(server.grpc_url, turns, number, until_s, counts) for number in range(CLIENTS)]
        threads = [threading.Thread(target=work, args=those) for those in given]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        fault.cases, fault.endings = counts["left"], dict(counts)
        fault.leaked = left_in_use(server, FREEING_S * fault.slowness)
        again = ask(server.grpc_url, text="hi", max_tokens=6)
        fault.wrong, fault.orphans = int(again.joined("text") != right.joined("text")), 0
        fault.keep()
        time.sleep(2 * CONNECTION_AGE_S)
        assert server.process is process and process.poll() is None, "the server fell"
        assert sockets(server) <= before, "the server keeps sockets of those who have left"
        assert counts["left"] >= MINIMUM and fault.lost_nothing, fault
