"""The synchronous and the asynchronous client are twins, and what only an event loop can do to a turn."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from stream_omni_client import (
    AsyncConversation,
    AsyncStreamOmni,
    Cancelled,
    ConnectionFailed,
    Conversation,
    DeadlineExceeded,
    StreamOmni,
    TextDelta,
)
from stream_omni_client.async_stream import AsyncStream
from stream_omni_client.stream import Stream

from stream_omni.serving.launcher import TritonServer


@pytest.mark.parametrize(
    ("kind", "async_kind"), [(StreamOmni, AsyncStreamOmni), (Stream, AsyncStream), (Conversation, AsyncConversation)]
)
def test_they_have_the_same_names_with_the_same_arguments(kind: type, async_kind: type) -> None:
    assert public_names(kind) == public_names(async_kind)
    for name in public_names(kind):
        member, twin = getattr(kind, name), getattr(async_kind, name)
        assert isinstance(member, property) == isinstance(twin, property), name
        if callable(member):
            assert parameters(member) == parameters(twin), name


def test_they_are_made_with_the_same_arguments() -> None:
    assert parameters(StreamOmni) == parameters(AsyncStreamOmni)


def public_names(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any, Any]]:
    given = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default, parameter.annotation) for parameter in given]


def in_a_loop(test: Callable[[AsyncStreamOmni], Coroutine[Any, Any, None]], url: str, **options: float) -> None:
    async def run() -> None:
        async with AsyncStreamOmni(url, **options) as client:
            await test(client)

    asyncio.run(run())


def test_a_cancelled_task_ends_its_turn_at_once(protocol_url: str) -> None:
    async def test(client: AsyncStreamOmni) -> None:
        async def listen() -> None:
            async with client.stream("silent") as stream:
                async for _ in stream:
                    pass

        before = await cancelled_turns(client)
        task = asyncio.create_task(listen())
        await asyncio.sleep(0.2)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.5
        await wait_for_cancelled_turns(client, before + 1)

    in_a_loop(test, protocol_url)


def test_a_limit_of_the_callers_own_ends_the_turn(protocol_url: str) -> None:
    async def test(client: AsyncStreamOmni) -> None:
        before = await cancelled_turns(client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), client.stream("silent") as stream:
                await anext(stream)
        await wait_for_cancelled_turns(client, before + 1)

    in_a_loop(test, protocol_url)


def test_a_dropped_stream_is_cancelled(protocol_url: str) -> None:
    async def test(client: AsyncStreamOmni) -> None:
        before = await cancelled_turns(client)
        async for _ in client.stream("endless"):
            break
        gc.collect()
        await wait_for_cancelled_turns(client, before + 1)

    in_a_loop(test, protocol_url)


@pytest.mark.parametrize("what", ["stream", "client"])
def test_who_waits_while_another_task_closes_gets_a_typed_error(protocol_url: str, what: str) -> None:
    async def test(client: AsyncStreamOmni) -> None:
        async with client.stream("silent") as stream:
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.2)
            await (stream if what == "stream" else client).close()
            with pytest.raises(Cancelled) as caught:
                await waiting
            assert caught.value.request_id == stream.request_id

    in_a_loop(test, protocol_url)


def test_many_turns_share_one_client(protocol_url: str) -> None:
    async def test(client: AsyncStreamOmni) -> None:
        async with client.stream("endless") as endless:
            assert isinstance(await anext(endless), TextDelta)
            replies = await asyncio.gather(*(client.chat("hello", output="speech") for _ in range(20)))
            assert {reply.text for reply in replies} == {"Grüße, 世界"}
            assert len({reply.request_id for reply in replies}) == 20
            assert (await anext(endless)).seq == 1

    in_a_loop(test, protocol_url)


def test_a_client_may_be_made_where_no_loop_runs(protocol_url: str) -> None:
    client = AsyncStreamOmni(protocol_url)

    async def ask() -> str:
        async with client:
            return (await client.chat("hello")).text

    assert asyncio.run(ask()) == "Grüße, 世界"


def test_a_closed_client_says_so(protocol_url: str) -> None:
    async def test(client: AsyncStreamOmni) -> None:
        await client.voices()
        await client.close()
        for method in (lambda: client.chat("hello"), client.voices):
            with pytest.raises(Cancelled, match="this client is closed"):
                await method()

    in_a_loop(test, protocol_url)


def test_a_killed_server_and_a_stopped_one_are_noticed(own_server: TritonServer) -> None:
    """Killed: the connection breaks. Stopped: it lives, and is silent."""
    process = own_server.process
    assert process is not None

    async def test(client: AsyncStreamOmni) -> None:
        async with client.stream("endless") as stream:
            await anext(stream)
            os.kill(process.pid, signal.SIGSTOP)
            with pytest.raises(DeadlineExceeded, match="idle_timeout_s"):
                await listen(stream, within_s=3)
        os.kill(process.pid, signal.SIGCONT)
        async with client.stream("endless") as stream:
            await anext(stream)
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(ConnectionFailed):
                await listen(stream, within_s=3)

    in_a_loop(test, own_server.grpc_url, idle_timeout_s=1)


async def listen(stream: AsyncStream, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        async for _ in stream:
            pass


async def cancelled_turns(client: AsyncStreamOmni) -> int:
    return int((await client.chat("cancelled")).text)


async def wait_for_cancelled_turns(client: AsyncStreamOmni, count: int) -> None:
    async with asyncio.timeout(3):
        while await cancelled_turns(client) < count:
            await asyncio.sleep(0.02)
