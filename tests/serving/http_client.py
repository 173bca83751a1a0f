"""A client of plain HTTP: a turn of Triton's ``generate_stream``, whose events come as lines of JSON."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Any

import numpy as np

PATH = "/v2/models/stream_omni/generate_stream"


class HttpTurn:
    """Asked at once, on a connection of its own, without a timeout of any kind. ``parameters`` stand among the inputs;
    with ``reads_late`` little fits on the way, so that the server has to keep what comes."""

    def __init__(
        self, url: str, inputs: Mapping[str, Any], parameters: Mapping[str, str] | None = None, reads_late: bool = False
    ) -> None:
        self._connection = HTTPConnection(url)
        self._connection.connect()
        if reads_late:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        body = json.dumps({name: _plain(value) for name, value in inputs.items()} | dict(parameters or {}))
        self._connection.request("POST", PATH, body, {"Content-Type": "application/json"})

    def answers(self) -> Iterator[dict[str, Any]]:
        """Events as the protocol's, or ``error``. Raises OSError and HTTPException where the connection breaks."""
        read = b""
        with self._connection.getresponse() as response:
            while piece := response.read1():  # lines of a response would end in silence where the connection breaks
                *lines, read = (read + piece).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield json.loads(line.removeprefix(b"data:"))
        self._connection.close()

    def vanish(self) -> None:
        """Break the connection without a word."""
        self._connection.close()


def samples(answer: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.array(answer["samples"], np.int16)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
