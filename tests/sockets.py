"""Sockets that a process holds, as the kernel lists them under /proc."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ESTABLISHED, LISTENING = "01", "0A"


class TcpSocket(NamedTuple):
    """Addresses are in the kernel's hexadecimal digits, port last: 0100007F:1F41."""

    local: str
    remote: str
    inode: str


def inodes(process: int) -> set[str]:
    """Of its sockets of every kind. The process works on: a handle it closes while we look is one it does not hold."""
    found = set()
    for handle in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            kind, _, inode = handle.readlink().name.partition(":")
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


def tcp_sockets(process: int, state: str) -> list[TcpSocket]:
    """Of IPv4 and IPv6, in one state."""
    held = inodes(process)
    tables = [Path(f"/proc/{process}/net/{table}").read_text() for table in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return [TcpSocket(row[1], row[2], row[9]) for row in rows if row[3] == state and row[9] in held]
