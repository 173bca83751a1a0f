"""The table of values in the chart's README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from stream_omni_chart.values_file import Value, ValuesError

BEGIN, END = "<!-- values: python -m stream_omni_chart -->\n", "<!-- end of the values -->\n"
_LONGEST_DEFAULT = 60


def reference(values: Sequence[Value]) -> str:
    """A heading and a table for each section of the top level; plain values first."""
    plain = [value for value in values if not value.inner]
    lines = ["### General", *_table(plain)]
    for section in values:
        if section.inner:
            about = [section.description, ""] if section.description else []
            lines += ["", f"### `{section.path[0]}`", *about, *_table(list(section.leaves()))]
    return "\n".join(lines) + "\n"


def with_reference(readme: Path, values: Sequence[Value]) -> str:
    """The README's text with a current table. Raises ValueError where it has no place for one."""
    text = readme.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, ending, tail = rest.partition(END)
    if not ending:
        raise ValueError(f"{readme} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return head + BEGIN + reference(values) + END + tail


def _table(values: Sequence[Value]) -> list[str]:
    rows = [f"| `{'.'.join(value.path)}` | {_default(value)} | {_about(value)} |" for value in values]
    return ["| value | default | |", "|---|---|---|", *rows]


def _default(value: Value) -> str:
    text = json.dumps(value.default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONGEST_DEFAULT else "see values.yaml"


def _about(value: Value) -> str:
    """Raises ValuesError where nothing is said."""
    if not value.description:
        raise ValuesError(f"values.yaml: {'.'.join(value.path)} needs a comment that says what it is")
    allowed = value.schema.get("enum")
    choices = f" One of {', '.join(f'`{choice}`' for choice in allowed)}." if allowed else ""
    return (value.description + choices).replace("|", "\\|").strip()
