"""The one face of all synthesizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_omni_demo.voices.sound import Sound

_TIMEOUT_S = 600.0  # of one program call, which may speak hundreds of sentences


class MissingError(RuntimeError):
    """Something is not installed; the message says how to install it."""


@dataclass(frozen=True)
class Manner:
    """How something is said. ``speed`` and ``pitch`` are factors of the voice's own."""

    voice: str  # the synthesizer's name for it
    speed: float = 1.0
    pitch: float = 1.0


class Synthesizer(Protocol):
    def missing(self) -> str:
        """How to install what is missing, or nothing."""
        ...

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        """One sound for each text, as the program makes it: neither trimmed nor levelled."""
        ...


def need_program(program: str, package: str) -> str:
    """Its path. Raises MissingError."""
    path = shutil.which(program)
    if path is None:
        raise MissingError(f"{program} is not installed: apt-get install {package}")
    return path


def missing_program(program: str, package: str) -> str:
    return "" if shutil.which(program) else f"apt-get install {package}"


def run_program(command: Sequence[str], given: str = "") -> bytes:
    """What it prints. Raises RuntimeError with what it complained about."""
    done = subprocess.run(command, input=given.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip()[-500:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {complaint}")
    return done.stdout
