"""Reads values.yaml with its comments, which are the only documentation of a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_SCHEMA = "@schema "
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w]*):(?: |$)")


class ValuesError(ValueError):
    """values.yaml has a comment that cannot be read, or lacks one."""


@dataclass(frozen=True)
class Value:
    """``path``: keys from the root. ``sections``: the mappings among its parents are described, not free. ``schema``:
    what its "@schema" line adds. ``inner``: the values of a described mapping; empty for a leaf."""

    path: tuple[str, ...]
    default: Any
    description: str
    schema: dict[str, Any]
    inner: tuple[Value, ...] = field(default=())

    def leaves(self) -> Iterator[Value]:
        if not self.inner:
            yield self
        for value in self.inner:
            yield from value.leaves()


def read_values(path: Path) -> tuple[Value, ...]:
    """The top level's. Raises ValuesError."""
    text = path.read_text(encoding="utf-8")
    comments = _comments(text)
    return tuple(_value((key,), default, comments) for key, default in yaml.safe_load(text).items())


def _value(
    path: tuple[str, ...], default: Any, comments: dict[tuple[str, ...], list[str]], inherited: str = ""
) -> Value:
    """``inherited``: what is said of the mapping that it is in, where nothing is said of itself."""
    lines = comments.get(path, [])
    schema: dict[str, Any] = {}
    for line in lines:
        if line.startswith(_SCHEMA):
            try:
                schema |= json.loads(line.removeprefix(_SCHEMA))
            except ValueError as error:
                raise ValuesError(f"values.yaml: the @schema of {'.'.join(path)} is no JSON: {error}") from error
    description = " ".join(line for line in lines if not line.startswith(_SCHEMA)) or inherited
    is_section = isinstance(default, dict) and default and "$ref" not in schema
    handed_on = description if len(path) > 1 else ""  # that of a whole section stands above its table
    inner = (
        tuple(_value((*path, key), value, comments, handed_on) for key, value in default.items()) if is_section else ()
    )
    return Value(path, default, description, schema, inner)


def _comments(text: str) -> dict[tuple[str, ...], list[str]]:
    """The lines of comment right above each key that begins a line."""
    found: dict[tuple[str, ...], list[str]] = {}
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above.append(stripped.removeprefix("#").strip())
            continue
        if key := _KEY.match(line):
            indent = len(key["indent"])
            parents = [parent for parent in parents if parent[0] < indent] + [(indent, key["key"])]
            found[tuple(name for _, name in parents)] = above
        above = []
    return found
