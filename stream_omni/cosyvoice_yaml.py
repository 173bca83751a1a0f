"""``cosyvoice.yaml`` read as data: its tags, which in training name classes to construct, construct nothing here."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml


class CosyVoiceError(ValueError):
    """A CosyVoice directory lacks something, or holds it in another form than this product runs."""


class _DataLoader(yaml.SafeLoader):
    """Tagged nodes become the plain mapping, list or scalar below the tag; ``!ref`` becomes a :class:`_Reference`."""


class _Reference(str):
    """A name in the same file whose value stands here."""


def _construct(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    if suffix == "ref":
        return _Reference(loader.construct_scalar(node))
    return loader.construct_scalar(node)


_DataLoader.add_multi_constructor("!", _construct)


def read_configuration(path: Path) -> dict[Hashable, Any]:
    """The file as data. Raises CosyVoiceError for a reference to a name that is not there."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_DataLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise CosyVoiceError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise CosyVoiceError(f"{path} is no mapping")
    resolved: dict[Hashable, Any] = {}
    for key, value in content.items():  # a reference names an earlier key, as in HyperPyYAML
        resolved[key] = _resolve(value, resolved, path)
    return resolved


def _resolve(value: Any, names: Mapping[Hashable, Any], path: Path) -> Any:
    if isinstance(value, _Reference):
        match = re.fullmatch(r"<([^<>\[\]]+)>", value)
        if match is None:
            return str(value)  # arithmetic on references, which no size uses
        if match[1] not in names:
            raise CosyVoiceError(f"{path}: !ref {value} names nothing above it")
        return names[match[1]]
    if isinstance(value, dict):
        return {k: _resolve(v, names, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, names, path) for v in value]
    return value


class Section:
    """A mapping of the configuration that knows its place in the file, for errors that name it."""

    def __init__(self, values: Any, place: str) -> None:
        if not isinstance(values, dict):
            raise CosyVoiceError(f"{place} is no mapping")
        self.values, self.place = values, place

    def section(self, name: str) -> Section:
        return Section(self._get(name), f"{self.place}: {name}")

    def integer(self, name: str) -> int:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CosyVoiceError(f"{self.place}: {name} is {value!r}, not a whole number of at least 1")
        return value

    def number(self, name: str) -> float:
        value = self._get(name)
        try:
            return float(value)  # YAML 1.1 reads 1e-06 as a string
        except (TypeError, ValueError):
            raise CosyVoiceError(f"{self.place}: {name} is {value!r}, not a number") from None

    def integers(self, name: str) -> tuple[int, ...]:
        value = self._get(name)
        if not isinstance(value, list) or not value or not all(isinstance(v, int) for v in value):
            raise CosyVoiceError(f"{self.place}: {name} is {value!r}, not a list of whole numbers")
        return tuple(value)

    def rows(self, name: str) -> tuple[tuple[int, ...], ...]:
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
            raise CosyVoiceError(f"{self.place}: {name} is {value!r}, not a list of lists")
        return tuple(tuple(row) for row in value)

    def require(self, **expected: Any) -> None:
        """The one value that this product's networks implement, where the file could ask for another."""
        for name, value in expected.items():
            if self.values.get(name, value) != value:
                raise CosyVoiceError(f"{self.place}: {name} is {self.values[name]!r}; only {value!r} is implemented")

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise CosyVoiceError(f"{self.place}: {name} is missing")
        return self.values[name]
