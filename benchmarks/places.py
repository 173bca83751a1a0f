"""Which places of a server are taken, as its /metrics say."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from stream_omni.serving.metrics import ENGINES, FRONT_DOOR, KV_SLOTS, STREAMS_ACTIVE

_LINE = re.compile(r"(?m)^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_LOOK_S = 0.003  # between two looks


@dataclass(frozen=True)
class Places:
    """``turns`` that the front door has let in; rows of key-value caches in use, by engine."""

    turns: int
    slots: dict[str, int]

    @property
    def taken(self) -> int:
        return self.turns + sum(self.slots.values())


def look(metrics_url: str) -> Places:
    with urllib.request.urlopen(f"http://{metrics_url}/metrics") as page:
        return read_places(page.read().decode())


def read_places(page: str) -> Places:
    """From the text of /metrics. Raises KeyError where it is not of this product's server."""
    found = {
        (line["name"], labels["stage"], labels.get("state")): int(float(line["value"]))
        for line in _LINE.finditer(page)
        if "stage" in (labels := dict(_LABEL.findall(line["labels"])))
        and line["name"] in (STREAMS_ACTIVE.name, KV_SLOTS.name)
    }
    slots = {engine: found[KV_SLOTS.name, engine, "used"] for engine in ENGINES}
    return Places(found[STREAMS_ACTIVE.name, FRONT_DOOR, None], slots)


def wait_for(metrics_url: str, wanted: Callable[[Places], bool], within_s: float) -> float:
    """The time (time.monotonic) at which ``wanted`` was seen. Raises TimeoutError, with what was seen last."""
    deadline_s = time.monotonic() + within_s
    while not wanted(places := look(metrics_url)):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"after {within_s:g} s the places are {places}")
        time.sleep(_LOOK_S)
    return time.monotonic()
