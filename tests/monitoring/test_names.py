"""Each metric that rules, dashboards and the chart's scalers ask for is on the page of a real program after a
few turns."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from openai import OpenAI
from stream_omni_monitoring.foreign_names import OF_GPU, OF_KUBERNETES
from stream_omni_monitoring.gateway_names import NAMES

from stream_omni.serving.admin import AdminDoor
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.supervisor import Supervision, Supervisor
from tests.client.envoy_process import envoy
from tests.client.gateway.gateway_process import gateway_process
from tests.monitoring.conftest import CHART, DASHBOARDS, queries_of, rules_of
from tests.monitoring.metric_names import asked, offered

_OF_PROMETHEUS = {"up", "ALERTS"}
_IN_TEMPLATES = re.compile(r"stream_omni(?:_(?!chart|build|monitoring|client)|:)[\w:]+")
_ALIAS = re.compile(r"name: \{as: (\w+)\}")  # what prometheus-adapter calls the result of a query


@pytest.fixture(scope="module")
def names(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """What a tritonserver, its supervisor, a gateway and an Envoy offer after two turns through all of them."""
    supervisor = Supervisor(server, Supervision())
    with (
        AdminDoor(supervisor, "127.0.0.1", 0, longest_idle_s=60) as admin,
        envoy(tmp_path_factory.mktemp("envoy"), server.grpc_url) as proxy,
        gateway_process(proxy.url) as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        asked_for = [{"role": "user", "content": "hi"}]
        client.chat.completions.create(model="stream-omni", messages=asked_for, max_tokens=2)  # type: ignore[call-overload]
        client.audio.speech.create(model="stream-omni", voice="default", input="hi", response_format="pcm")
        pages = f"{server.metrics_url}/metrics", f"{admin.url}/metrics", f"{gateway.address}/metrics"
        yield offered(*pages, f"{proxy.admin}/stats/prometheus")


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


def test_the_gateways_names_are_on_its_page(names: set[str]) -> None:
    assert {*NAMES} <= names
