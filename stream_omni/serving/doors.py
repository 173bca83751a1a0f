"""Where a tritonserver listens: addresses that are chosen once, and kept by a server that is started again."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass

_LOOPBACK = "127.0.0.1"

Address = tuple[str, int]


class DoorError(ValueError):
    """An address that cannot be listened on. The message is meant for the operator."""


@dataclass(frozen=True)
class Doors:
    """Host and port of each. ``http`` is Triton's own, None: closed. It never leaves this machine, because whoever
    reaches it can crash this tritonserver (docs/decisions/0027-tritons-http-is-closed.md)."""

    grpc: Address
    metrics: Address
    http: Address | None = None

    @classmethod
    def choose(cls, host: str, grpc_port: int, metrics_port: int, http_port: int | None) -> Doors:
        """Ports that are 0 are chosen. Raises DoorError."""
        host = _number_of(host)
        wanted = [(host, grpc_port), (host, metrics_port)]
        return cls(*_free(wanted if http_port is None else [*wanted, (_LOOPBACK, http_port)]))

    def arguments(self) -> list[str]:
        """Of tritonserver."""
        open_doors = [*_listening("grpc", self.grpc), *_listening("metrics", self.metrics)]
        return [*open_doors, *(_listening("http", self.http) if self.http else ["--allow-http=false"])]

    def are_open(self) -> bool:
        """Triton opens its ports one after the other, when all models are loaded."""
        try:
            for door in (self.grpc, self.metrics, self.http):
                if door is not None:
                    socket.create_connection(door, timeout=1).close()
        except OSError:
            return False
        return True


def url(door: Address) -> str:
    host, port = door
    return f"{host}:{port}"


def _listening(door: str, address: Address) -> list[str]:
    host, port = address
    return [f"--{door}-address={host}", f"--{door}-port={port}"]


def _number_of(host: str) -> str:
    """tritonserver says that its HTTP and metrics listen on a name, and they do not. Raises DoorError."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise DoorError(f"{host} is no IPv4 address of this machine, nor a name of one: {error}") from error


def _free(wanted: Sequence[Address]) -> list[Address]:
    """With every port 0 replaced by one that is free now. Raises DoorError for one that cannot be had."""
    with contextlib.ExitStack() as held:  # all at once, so that they differ
        found = []
        for host, port in wanted:
            door = held.enter_context(socket.socket())
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last server's port may still be closing
            try:
                door.bind((host, port))
                door.listen()  # or another one could be bound to the same port
            except (OSError, OverflowError) as error:
                raise DoorError(f"cannot listen on {host}, port {port}: {error}") from error
            found.append((host, door.getsockname()[1]))
        return found
