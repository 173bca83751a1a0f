"""values.schema.json against the chart: what it lets in renders (or is refused with a reason), the rest is refused."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helm.cases import CPU, GPU
from tests.helm.chart import CHART, Refused, merged, render
from tests.helm.test_schemas import MINORS, check, is_custom

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
REASONS = [
    re.compile(re.sub(r"%[sdv]", ".*", re.escape(words)))
    for words in re.findall(
        r'fail \(?(?:printf )?"([^"]+)"', (CHART / "templates/_checks.tpl").read_text(encoding="utf-8")
    )
]
QUIET = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],  # an example is a run of helm: to shrink one takes longer than to read it
)
_MIXED = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 70_000), st.text(max_size=20), st.just([]), st.just({"x": 1})
)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "allOf" in schema:
        (schema,) = schema["allOf"]
    if "$ref" in schema:
        return resolved(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return schema


def leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    found = []
    for key, inner in schema["properties"].items():
        whole = resolved(inner)
        if path == () and key == "global":
            continue
        if inner.get("properties"):
            found += leaves(inner, (*path, key))
        else:
            found.append(((*path, key), whole))
    return found


def valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema lets in."""
    schema = resolved(schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "oneOf" in schema:
        return st.one_of([valid(each) for each in schema["oneOf"]])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_of_kind(kind, schema) for kind in kinds])


def _of_kind(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "array":
        return st.lists(valid(schema["items"]), max_size=2)
    if kind == "object":
        return _mapping(schema)
    if kind == "string":
        return _words(schema)
    least, most = schema.get("minimum", 0), schema.get("maximum", 999_999)
    simple: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(least, most),
        "number": st.floats(least, most),
    }
    return simple[kind]


def _words(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" not in schema:
        return st.text(
            st.characters(codec="utf-8", exclude_categories=["C"]), min_size=schema.get("minLength", 0), max_size=30
        )
    words = st.from_regex(schema["pattern"].replace("$", r"\Z"), fullmatch=False)
    return words.filter(lambda word: len(word) <= schema.get("maxLength", 300))


def _mapping(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" not in schema:
        if schema["additionalProperties"] == {"type": "string"}:  # labels
            label = st.from_regex(r"\A[a-z]([a-z0-9.-]{0,20}[a-z0-9])?\Z")
            return st.dictionaries(label, label, max_size=2)
        return st.dictionaries(st.sampled_from(["cpu", "memory"]), valid(schema["additionalProperties"]), max_size=2)
    required = schema.get("required", [])
    wanted = {name: valid(inner) for name, inner in schema["properties"].items() if name in required}
    other = {name: valid(inner) for name, inner in schema["properties"].items() if name not in required}
    least = schema.get("minProperties", 0)
    return st.fixed_dictionaries(wanted, optional=other).filter(lambda found: len(found) >= least)


@st.composite
def some_values(draw: st.DrawFn) -> dict[str, Any]:
    """One of two cases, with up to eight values changed to others that the schema lets in."""
    values: dict[str, Any] = copy.deepcopy(draw(st.sampled_from([CPU, GPU])))
    for path, schema in draw(st.lists(st.sampled_from(leaves(SCHEMA)), max_size=8, unique_by=lambda leaf: leaf[0])):
        value: Any = draw(valid(schema))
        for key in reversed(path):
            value = {key: value}
        values = merged(values, value)
    return values


def holds(values: dict[str, Any]) -> None:
    """It renders to what Kubernetes takes in, or the chart says why it cannot work."""
    jsonschema.validate(merged(DEFAULTS, values), SCHEMA)
    try:
        found = render(values)
    except Refused as refused:
        assert any(reason.search(str(refused)) for reason in REASONS), refused
        return
    for manifest in found.objects:
        if not is_custom(manifest):
            check(manifest, MINORS[-1])


@given(some_values())
@settings(QUIET, max_examples=10)
def test_what_the_schema_lets_in_works_or_is_refused_with_a_reason(values: dict[str, Any]) -> None:
    holds(values)


@pytest.mark.k8s
@given(some_values())
@settings(QUIET, max_examples=400)
def test_the_same_many_times(values: dict[str, Any]) -> None:
    holds(values)


def _spoilt(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return merged(CPU, value)


@pytest.mark.k8s
@given(st.sampled_from(leaves(SCHEMA)), _MIXED)
@settings(QUIET, max_examples=200)
def test_helm_refuses_what_the_schema_does_not_let_in(leaf: tuple[tuple[str, ...], dict[str, Any]], value: Any) -> None:
    values = _spoilt(leaf[0], value)
    if jsonschema.Draft7Validator(SCHEMA).is_valid(merged(DEFAULTS, values)):
        return
    with pytest.raises(Refused, match="don't meet the specifications of the schema"):
        render(values)


@pytest.mark.parametrize("helm", [4, pytest.param(3, marks=pytest.mark.k8s)])
def test_a_misspelt_key_is_refused_at_every_depth(helm: int) -> None:
    sections = [()] + [path[:depth] for path, _ in leaves(SCHEMA) for depth in range(1, len(path))]
    closed = [_at(SCHEMA, path) for path in sections]
    assert all(each["additionalProperties"] is False for each in closed)
    for path in ((), ("server",), ("server", "drain"), ("gateway", "service")):
        with pytest.raises(Refused, match="replicass"):
            render(_spoilt((*path, "replicass"), 2), helm)


def test_a_value_that_is_taken_away_is_refused_but_where_the_chart_knows_what_to_do() -> None:
    """Helm drops what is set to null, and templates would write nothing in its place."""
    for path in (("server", "ports", "grpc"), ("envoy", "replicas"), ("gateway", "service")):
        with pytest.raises(Refused, match=rf"missing propert(y|ies) '{path[-1]}'|{path[-1]} is required"):
            render(_spoilt(path, None))
    assert render(_spoilt(("server", "capacity", "waiting"), None)).objects == render(CPU).objects


@pytest.mark.parametrize("path", [("server", "traceEndpoint"), ("autoscaling", "prometheusUrl")], ids=".".join)
def test_an_address_whose_port_is_none_is_refused(path: tuple[str, ...]) -> None:
    for address in ("http://collector:829434009", "http://collector:4318-", "http://collector:0"):
        with pytest.raises(Refused, match=rf"{path[-1]}.*does not match pattern"):
            render(_spoilt(path, address))


def _at(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        schema = schema["properties"][key]
    return schema
