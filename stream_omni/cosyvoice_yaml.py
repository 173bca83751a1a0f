"""``cosyvoice.yaml`` read as data: its tags, which in training name classes to construct, construct nothing here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stream_omni.checkpoint_files import CheckpointError, Settings


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


def read_configuration(path: Path) -> dict[str, Any]:
    """The file as data. Raises CheckpointError for a reference to a name that is not there."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_DataLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no mapping")
    resolved: dict[str, Any] = {}
    try:
        for key, value in content.items():  # a reference names an earlier key, as in HyperPyYAML
            resolved[key] = _resolve(value, resolved, path)
    except RecursionError as error:
        raise CheckpointError(f"{path} holds an alias within its own anchor") from error
    return resolved


def _resolve(value: Any, names: Mapping[str, Any], path: Path) -> Any:
    if isinstance(value, _Reference):
        match = re.fullmatch(r"<([^<>\[\]]+)>", value)
        if match is None:
            return str(value)  # arithmetic on references, which no size uses
        if match[1] not in names:
            raise CheckpointError(f"{path}: !ref {value} names nothing above it")
        return names[match[1]]
    if isinstance(value, dict):
        return {k: _resolve(v, names, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, names, path) for v in value]
    return value


class Section(Settings):
    """A mapping of the configuration, which knows its place in the file."""

    @classmethod
    def read(cls, path: Path) -> Section:
        """The whole file. Raises CheckpointError where it is missing or no such file."""
        if not path.is_file():
            raise CheckpointError(f"{path} is missing")
        return cls(read_configuration(path), str(path))

    def section(self, key: str) -> Section:
        values = self.values.get(key)
        if not isinstance(values, dict):
            raise self.error(key, "a mapping")
        return Section(values, f"{self.place}: {key}")

    def integers(self, key: str) -> tuple[int, ...]:
        values = self.values.get(key)
        if not isinstance(values, list) or not values or not all(isinstance(v, int) for v in values):
            raise self.error(key, "a list of whole numbers")
        return tuple(values)

    def integer_lists(self, key: str) -> tuple[tuple[int, ...], ...]:
        values = self.values.get(key)
        if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
            raise self.error(key, "a list of lists of whole numbers")
        return tuple(tuple(row) for row in values)
