"""A Dockerfile's instructions, as far as these tests need them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass
class Target:
    """One stage of the build. ``values``: the last instruction of each kind, ``runs``: the commands of all RUNs."""

    name: str
    base: str
    values: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    copies: list[list[str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    def command(self, instruction: str) -> list[str]:
        written = self.values[instruction]
        found: list[str] = json.loads(written[written.index("[") :])
        return found


def read_targets() -> dict[str, Target]:
    text = re.sub(r"^#.*\n", "", (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    targets: dict[str, Target] = {}
    current: Target | None = None
    for line in text.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = targets[name] = Target(name, base)
            if base in targets:  # of a stage above
                current.environment |= targets[base].environment
                current.values |= targets[base].values
        elif current is not None and instruction:
            current.values[instruction] = rest
            if instruction == "ENV":
                current.environment |= dict(pair.split("=", 1) for pair in rest.split())
            elif instruction == "COPY":
                current.copies.append(rest.split())
            elif instruction == "RUN":
                current.runs.append(rest)
    return targets
