"""Turns that are left by a message: they end as cancelled ones do, and only those whose ticket it is."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

from stream_omni.serving.departures import Departures, as_ticket
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import REQUESTS
from tests.serving.raw_client import Answered, Stream, ask
from tests.serving.scrape import Scrape, seconds_until

ENDLESS: dict[str, Any] = {"text": "again", "task": "speak", "max_audio_ms": 163_000}
LEFT = "CANCELLED: the client ended the turn"


def leave(url: str, ticket: object) -> Stream:
    return Stream(url, {}, parameters={"leave": ticket})


def begun(url: str, ticket: str) -> Stream:
    stream = Stream(url, ENDLESS, parameters={"ticket": ticket})
    assert not isinstance(stream.next(), str)
    return stream


def rest_of(stream: Stream) -> Answered:
    """An error is the last thing."""
    answered = stream.finish()
    assert answered.error is not None
    return answered


def cancelled(server: TritonServer) -> float:
    return Scrape(server.metrics_url).total(REQUESTS, outcome="cancelled")


def test_the_message_ends_the_turn_and_frees_its_place(server: TritonServer) -> None:
    ticket, before = secrets.token_hex(16), cancelled(server)
    stream, message = begun(server.grpc_url, ticket), leave(server.grpc_url, ticket)
    assert rest_of(stream).error == LEFT
    message.close()
    seconds_until(server.metrics_url, lambda now: now.in_use == 0, 2)
    assert cancelled(server) == before + 1


def test_it_may_come_before_the_turn(server: TritonServer) -> None:
    ticket = secrets.token_hex(16)
    leave(server.grpc_url, ticket).close()
    answered = Stream(server.grpc_url, ENDLESS, parameters={"ticket": ticket}).finish()
    assert answered.error == LEFT and len(answered.of("audio")) < 3


def test_another_ticket_ends_nothing(server: TritonServer) -> None:
    ticket = secrets.token_hex(16)
    stream = begun(server.grpc_url, ticket)
    for other in (secrets.token_hex(16), ticket[:-1], ticket.upper() + "x"):
        leave(server.grpc_url, other).close()
    time.sleep(0.3)
    for _ in range(3):
        assert not isinstance(stream.next(), str)
    leave(server.grpc_url, ticket).close()
    assert rest_of(stream).error == LEFT


@pytest.mark.parametrize("ticket", ["short", "x" * 65, 7, True, ""])
def test_what_is_no_ticket_is_a_turn_without_a_question(server: TritonServer, ticket: object) -> None:
    answered = leave(server.grpc_url, ticket).finish()
    assert answered.error is not None and answered.error.startswith("INVALID_ARGUMENT: ")
    assert ask(server.grpc_url, text="hi", max_tokens=2).error is None


def test_a_turn_with_a_ticket_that_is_none_runs_as_any(server: TritonServer) -> None:
    answered = Stream(server.grpc_url, {"text": "hi", "max_tokens": 2}, parameters={"ticket": "short"}).finish()
    assert answered.error is None


def test_as_many_are_remembered_as_may_come_at_once() -> None:
    departures, tickets = Departures(), [f"{number:032x}" for number in range(10_001)]
    for ticket in tickets:
        departures.note(ticket)
    assert tickets[0] not in departures and tickets[1] in departures and tickets[-1] in departures
    assert None not in departures


def test_a_ticket_is_hard_to_guess_and_easy_to_keep() -> None:
    assert as_ticket("x" * 16) == "x" * 16 and as_ticket("x" * 64) == "x" * 64
    assert [as_ticket(sent) for sent in ("x" * 15, "x" * 65, None, 7, b"x" * 16)] == [None] * 5
