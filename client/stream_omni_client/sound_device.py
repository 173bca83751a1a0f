"""Finds sounddevice, which is no dependency of the package: the extras ``play`` and ``microphone`` bring it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def load_sounddevice() -> Any:
    """The module. Raises ModuleNotFoundError without the extra, OSError without the system's PortAudio."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        message = 'to play and record, sounddevice is needed: pip install "stream-omni[play,microphone]"'
        raise ModuleNotFoundError(message, name="sounddevice") from error
    except OSError as error:
        raise OSError("PortAudio is not installed: apt install libportaudio2, or as your system calls it") from error
    return sounddevice


@contextmanager
def device_errors(sounddevice: Any, what: str) -> Iterator[None]:
    """Has PortAudio's errors be OSError."""
    try:
        yield
    except (sounddevice.PortAudioError, ValueError) as error:  # ValueError: there is no device at all
        raise OSError(f"{what} cannot be used: {error}") from error
