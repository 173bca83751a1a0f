"""A name server for one name, whose addresses may change: what a cluster's DNS is for a headless Service."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, UDPServer

_A, _INTERNET = 1, 1
_ANSWER, _UNKNOWN = 0x8580, 3  # of a server that knows, and that will ask others
_NAME_OF_QUESTION = 0xC00C
_TTL_S = 5


class NameServer(UDPServer):
    """``addresses`` of ``name``, IPv4 ones; everything else is unknown."""

    def __init__(self, name: str, addresses: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Question)
        self.name, self.addresses = name, addresses

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, query: bytes) -> bytes:
        labels, place = [], 12
        while length := query[place]:
            labels.append(query[place + 1 : place + 1 + length].decode())
            place += 1 + length
        question = query[12 : place + 5]
        (kind,) = struct.unpack("!H", query[place + 1 : place + 3])
        known = ".".join(labels) == self.name
        found = self.addresses if known and kind == _A else []
        head = struct.pack("!HHHHH", _ANSWER | (0 if known else _UNKNOWN), 1, len(found), 0, 0)
        record = struct.pack("!HHHIH", _NAME_OF_QUESTION, _A, _INTERNET, _TTL_S, 4)
        return query[:2] + head + question + b"".join(record + socket.inet_aton(address) for address in found)


class _Question(BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, NameServer)
        query, answers = self.request
        answers.sendto(self.server.answer(query), self.client_address)


@contextmanager
def name_server(name: str, addresses: list[str]) -> Iterator[NameServer]:
    with NameServer(name, addresses) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield running
        finally:
            running.shutdown()
