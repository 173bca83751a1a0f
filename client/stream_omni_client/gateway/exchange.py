"""One request and its answer, watched as they pass: what the log and the metrics tell of them."""

from __future__ import annotations

import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

_KEY = "stream_omni.exchange"  # of the ASGI scope


class Exchange:
    """``receive`` and ``send`` are the server's own, counted; the answer's headers get the ``request_id``."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_KEY] = self
        self.scope, self._receive, self._send = scope, receive, send
        self.request_id = f"req_{secrets.token_hex(12)}"
        self.began_s = time.monotonic()
        self.holder: str | None = None  # the name of whose key it came with
        self.turn: str | None = None  # names it in the server's logs
        self.reason: str | None = None  # a word, where it failed
        self.status: int | None = None
        self.has_begun = False  # the answer
        self.received_bytes = self.sent_bytes = 0
        self.first_byte_s: float | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun, self.status = True, message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self.request_id
        elif message["type"] == "http.response.body" and message.get("body"):
            if self.first_byte_s is None:
                self.first_byte_s = self.elapsed_s
            self.sent_bytes += len(message["body"])
        await self._send(message)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began_s


def exchange_of(connection: HTTPConnection) -> Exchange:
    exchange: Exchange = connection.scope[_KEY]
    return exchange
