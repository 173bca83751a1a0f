"""Each metric that rules, dashboards and the chart's scalers ask for is on the page of a real program, run as the chart
runs it, after a few turns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from openai import OpenAI
from stream_omni_monitoring.foreign_names import OF_GPU, OF_KUBERNETES
from stream_omni_monitoring.gateway_names import NAMES

from tests.k8s.stand import Stand, stand
from tests.monitoring.conftest import CHART, DASHBOARDS, queries_of, rules_of
from tests.monitoring.metric_names import asked, offered
from tests.monitoring.test_cardinality import said

_OF_PROMETHEUS = {"up", "ALERTS"}
_IN_TEMPLATES = re.compile(r"stream_omni(?:_(?!chart|build|monitoring|client)|:)[\w:]+")
_ALIAS = re.compile(r"name: \{as: (\w+)\}")  # what prometheus-adapter calls the result of a query


@pytest.fixture(scope="module")
def asked_stand(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """After two turns through its gateway, Envoy and server."""
    with (
        stand(built_directory, tmp_path_factory.mktemp("stand"), replicas=1) as running,
        OpenAI(base_url=f"{running.gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        asked_for = [{"role": "user", "content": "hi"}]
        client.chat.completions.create(model="stream-omni", messages=asked_for, max_tokens=2)  # type: ignore[call-overload]
        client.audio.speech.create(model="stream-omni", voice="default", input="hi", response_format="pcm")
        yield running


@pytest.fixture(scope="module")
def names(asked_stand: Stand) -> set[str]:
    return offered(*asked_stand.pages().values())


def test_rules_and_dashboards_ask_for_what_is_there(names: set[str]) -> None:
    recorded = {rule["record"] for rule in rules_of("record")}
    queries = [query for dashboard in DASHBOARDS for query in queries_of(dashboard)]
    wanted = asked([*queries, *(rule["expr"] for kind in ("alert", "record") for rule in rules_of(kind))])
    assert len(wanted) > 50
    assert wanted - recorded - _OF_PROMETHEUS - {*OF_GPU, *OF_KUBERNETES} - names == set()


def test_the_charts_scalers_ask_for_what_is_there(names: set[str]) -> None:
    recorded = {rule["record"] for rule in rules_of("record")}
    templates = [path for path in CHART.rglob("*") if path.suffix in (".yaml", ".tpl") and path.parent.name != "rules"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in templates)
    made_by_the_adapter = set(_ALIAS.findall(text))
    assert {*_IN_TEMPLATES.findall(text)} - made_by_the_adapter - recorded - names == set()


def test_an_envoy_has_as_many_series_as_the_document_of_capacity_says(asked_stand: Stand) -> None:
    with urlopen(f"http://{asked_stand.pages()['envoy']}", timeout=60) as page:
        series = [line for line in page.read().decode().splitlines() if line and not line.startswith("#")]
    told = said(r"an Envoy about ([\d,]+)")
    assert abs(len(series) - told) < 0.01 * told  # some come with the first turn that ends in their way


def test_the_gateways_names_are_on_its_page(names: set[str]) -> None:
    assert {*NAMES} <= names
