"""What is asked in an evaluation, with what is known of the right answers: JSON lines, one question each.

    {"audio": "a.wav", "image": "a.png", "text": "What colour is the cat?", "keywords": ["black"], "forbidden": ["red"]}

All keys but a question are optional; paths are relative to the file:

- ``text``: the question in writing. ``audio``: the same, spoken. An item is asked in every way that it has.
- ``transcript``: what is said in ``audio``, where it is not ``text``.
- ``image``: a picture, or a list of them.
- ``answers``: right answers, of which one must be given word for word. Or ``keywords``: words that all must be in the
  answer ("grey|silver": one of them must), and ``forbidden``: words that must not.
- ``group``: what the item is counted with, such as the kind of its voice.
- ``source_audio``, ``source_text``: speech of the voice that the system was trained to have, and what is said in it, so
  that its own word error rate can be told.
- ``name``: what reports call the item; else its line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni_eval.words import words_of

_KEYS = {
    *("name", "group", "text", "audio", "transcript", "image", "answers", "keywords", "forbidden"),
    *("source_audio", "source_text"),
}


class ManifestError(ValueError):
    """A line of a manifest cannot be used. The message names file, line and fault."""


@dataclass(frozen=True)
class Item:
    """``transcript``: of ``audio``; None where it is not known. ``keywords``: of each tuple one must be said."""

    name: str
    group: str
    text: str | None = None
    audio: Path | None = None
    transcript: str | None = None
    images: tuple[Path, ...] = ()
    answers: tuple[str, ...] = ()
    keywords: tuple[tuple[str, ...], ...] = ()
    forbidden: tuple[str, ...] = ()
    source_audio: Path | None = None
    source_text: str | None = None

    def is_right(self, answer: str) -> bool | None:
        """None where nothing is known of right answers."""
        words = words_of(answer)
        if self.answers and words in [words_of(right) for right in self.answers]:
            return True
        if self.keywords or self.forbidden:
            said = all(any(_holds(words, one) for one in alternatives) for alternatives in self.keywords)
            return said and not any(_holds(words, word) for word in self.forbidden)
        return False if self.answers else None


def _holds(words: list[str], wanted: str) -> bool:
    """Whether the words of ``wanted`` follow one another in ``words``."""
    part = words_of(wanted)
    return any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))


def read_manifest(path: Path) -> list[Item]:
    """Raises ManifestError, and OSError where the file cannot be read."""
    items: list[Item] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                items.append(_read_item(json.loads(line), path, number))
            except (ValueError, TypeError) as error:
                raise ManifestError(f"{path}, line {number}: {error}") from error
    names = [item.name for item in items]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ManifestError(f"{path}: several items have the name {', '.join(sorted(twice))}")
    if not items:
        raise ManifestError(f"{path} holds no item")
    return items


def _read_item(values: Any, path: Path, number: int) -> Item:
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    if unknown := values.keys() - _KEYS:
        raise ValueError(f"there is no key {', '.join(sorted(unknown))}; there are {', '.join(sorted(_KEYS))}")
    text, audio = _text(values, "text"), _file(values.get("audio"), path)
    if text is None and audio is None:
        raise ValueError("it has neither text nor audio")
    images = values.get("image") or []
    source_audio, source_text = _file(values.get("source_audio"), path), _text(values, "source_text")
    if (source_audio is None) != (source_text is None):
        raise ValueError("source_audio and source_text belong together")
    return Item(
        name=str(values.get("name", number)),
        group=str(values.get("group", "all")),
        text=text,
        audio=audio,
        transcript=_text(values, "transcript") or text,
        images=tuple(_existing(image, path) for image in ([images] if isinstance(images, str) else images)),
        answers=_texts(values, "answers"),
        keywords=tuple(tuple(word.split("|")) for word in _texts(values, "keywords")),
        forbidden=_texts(values, "forbidden"),
        source_audio=source_audio,
        source_text=source_text,
    )


def _text(values: Mapping[str, Any], key: str) -> str | None:
    found = values.get(key)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{key} is {found!r}; it must be a text")
    return found


def _texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = values.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) and words_of(each) for each in found):
        raise ValueError(f"{key} is {found!r}; it must be a list of words")
    return tuple(found)


def _file(name: Any, path: Path) -> Path | None:
    return None if name is None else _existing(name, path)


def _existing(name: Any, path: Path) -> Path:
    found = path.parent / str(name)
    if not found.is_file():
        raise ValueError(f"{found} does not exist")
    return found
