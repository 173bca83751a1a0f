"""Addresses of pods on one machine. All of 127.0.0.0/8 is loopback, so each pod has an address of its own and the
chart's ports stay as they are; two runs of the tests take different networks."""

from __future__ import annotations

import os

_NETWORK = f"127.{1 + os.getpid() // 254 % 254}.{1 + os.getpid() % 254}"
ANYWHERE = "0.0.0.0"
LOOPBACK = "127.0.0.1"


def of_edge(number: int = 0) -> str:
    return f"{_NETWORK}.{1 + number}"


OF_PROMETHEUS, OF_GATEWAY = of_edge(8), of_edge(7)


def of_server(number: int) -> str:
    return f"{_NETWORK}.{10 + number}"
