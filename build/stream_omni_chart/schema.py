"""values.schema.json: types from the defaults, narrowed by the comments; no key that the chart does not know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stream_omni_chart.values_file import Value, ValuesError

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_QUANTITY = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]{1,6}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
    "minimum": 0,
    "maximum": 999_999,
}
_AMOUNTS = {"type": "object", "additionalProperties": {"$ref": "#/$defs/quantity"}}
_TOLERATION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "key": {"type": "string"},
        "operator": {"enum": ["Exists", "Equal"]},
        "value": {"type": "string"},
        "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
        "tolerationSeconds": {"type": "integer"},
    },
}
_CIDR = r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$|^[0-9a-fA-F:]{2,39}/[0-9]{1,3}$"
_NAME = "[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
# What stands for the same everywhere, so that no comment need repeat it
_NAMES = ("existingSecret", "existingClaim", "clientCA", "clientSecret", "caSecret", "name", "priorityClassName")
_BY_KEY = {key: {"$ref": "#/$defs/name"} for key in _NAMES} | {
    "key": {"$ref": "#/$defs/file"},
    "checkpoint": {"$ref": "#/$defs/file"},
}
_MOST = 999_999  # Helm reads numbers of files as floats, and writes larger ones as 1e+06
DEFINITIONS: dict[str, Any] = {
    "name": {"type": "string", "pattern": f"^({_NAME})?$"},
    "someName": {"type": "string", "pattern": f"^{_NAME}$"},
    "file": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": 253},
    "labels": _STRINGS,
    "quantity": _QUANTITY,
    "port": {"type": "integer", "minimum": 1024, "maximum": 65535},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
    },
    "tolerations": {"type": "array", "items": _TOLERATION},
    "peer": {
        "description": "Pods by the labels of their namespace and their own, or addresses.",
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "properties": {"namespace": {"$ref": "#/$defs/labels"}, "pods": {"$ref": "#/$defs/labels"}},
            },
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["cidr"],
                "properties": {"cidr": {"type": "string", "pattern": _CIDR}},
            },
        ],
    },
}


def schema_text(values: Sequence[Value]) -> str:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Written by python -m stream_omni_chart from values.yaml; change it there.",
        "title": "Values of the chart stream-omni",
        **_object(values),
        "$defs": DEFINITIONS,
    }
    # What Helm itself hands to a chart beside the values
    schema["properties"]["global"] = {"type": "object"}
    return json.dumps(schema, indent=2) + "\n"


def _object(values: Sequence[Value]) -> dict[str, Any]:
    """All that has a default is there, unless it was taken away: Helm drops what is set to null before it checks."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [value.path[-1] for value in values if "null" not in value.schema.get("type", ())],
        "properties": {value.path[-1]: _schema(value) for value in values},
    }


def _schema(value: Value) -> dict[str, Any]:
    described = {"description": value.description} if value.description else {}
    if value.inner:
        return described | _object(value.inner)
    known = value.schema if "$ref" in value.schema else _BY_KEY.get(value.path[-1])
    if known is not None:
        return described | {"allOf": [known]}
    return described | _type(value) | value.schema


def _type(value: Value) -> dict[str, Any]:
    """Raises ValuesError for a default that says too little."""
    if "enum" in value.schema or "type" in value.schema:
        return {} if "integer" not in value.schema.get("type", ()) else {"maximum": _MOST}
    if isinstance(value.default, list) and "items" in value.schema:
        return {"type": "array"}
    if isinstance(value.default, bool):
        return {"type": "boolean"}
    if isinstance(value.default, int):
        return {"type": "integer", "maximum": _MOST}
    if isinstance(value.default, str):
        return {"type": "string"}
    raise ValuesError(f"values.yaml: {'.'.join(value.path)} needs an @schema that says what it may hold")
