"""JSON as clients send it, whose every word can be written again: into answers, events and turns."""

from __future__ import annotations

import json
from typing import Any


class HalfCharacterError(ValueError):
    """JSON's escapes can name one half of a character, which no text can hold."""

    def __init__(self) -> None:
        super().__init__("holds half of a character (an escape from \\ud800 to \\udfff without the other one)")


def loads(text: str | bytes) -> Any:
    """Raises ValueError, which may be JSONDecodeError or HalfCharacterError, and RecursionError."""
    if isinstance(text, bytes):
        text = text.decode()
    value = json.loads(text, parse_constant=_refuse_constant)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise HalfCharacterError from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
