"""NetworkPolicies: every way that is needed is open on both sides, and no other."""

from __future__ import annotations

import itertools

import pytest

from tests.helm.cases import CASES
from tests.helm.chart import Manifest, Rendered, merged, render

Way = tuple[str, str, int]  # from a component to a component, at a port
GRPC, METRICS, ADMIN, STATS, WEB = 8001, 8002, 8003, 9902, 8080


def _labels(found: Rendered) -> dict[str, Manifest]:
    return {name: pod["metadata"]["labels"] for name, pod in found.pods()}


def _policies(found: Rendered, labels: Manifest) -> list[Manifest]:
    return [
        each["spec"]
        for each in found.of("NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]


def _is_open(rules: list[Manifest], side: str, other: Manifest, port: int) -> bool:
    return any(
        any(each["port"] == port for each in rule["ports"])
        and any(
            peer.keys() == {"podSelector"} and peer["podSelector"].get("matchLabels", {}).items() <= other.items()
            for peer in rule[side]
        )
        for rule in rules
        if side in rule
    )


def ways(found: Rendered) -> set[Way]:
    """Between pods of the release, both sides willing."""
    labels = _labels(found)
    opened = set()
    for source, target in itertools.permutations(labels, 2):
        leaving = [rule for policy in _policies(found, labels[source]) for rule in policy.get("egress", [])]
        arriving = [rule for policy in _policies(found, labels[target]) for rule in policy.get("ingress", [])]
        for port in (GRPC, METRICS, ADMIN, STATS, WEB, 9901):
            if _is_open(leaving, "to", labels[target], port) and _is_open(arriving, "from", labels[source], port):
                opened.add((source, target, port))
    return opened


def test_with_envoy_turns_go_through_it_alone() -> None:
    assert ways(render(CASES["cpu"])) == {
        ("envoy", "server", GRPC),
        ("envoy", "server", ADMIN),
        ("gateway", "envoy", GRPC),
        ("test", "envoy", GRPC),
        ("test", "gateway", WEB),
    }


def test_without_one_they_go_to_the_servers() -> None:
    assert ways(render(CASES["no-edge"])) == {
        ("gateway", "server", GRPC),
        ("test", "server", GRPC),
        ("test", "gateway", WEB),
    }


@pytest.mark.parametrize("name", [name for name in CASES if name != "servers-alone"])
def test_what_is_not_allowed_is_denied(name: str) -> None:
    found = render(CASES[name])
    denial = [each["spec"] for each in found.of("NetworkPolicy") if each["metadata"]["name"].endswith("default-deny")]
    assert [spec.keys() for spec in denial] == [{"podSelector", "policyTypes"}]
    for component, labels in _labels(found).items():
        policies = _policies(found, labels)
        assert denial[0] in policies and len(policies) == 2, component
        assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)


def test_only_who_must_reaches_the_world() -> None:
    found = render(merged(CASES["fetch"], {"gateway": {"fetchPictures": True}}))
    outward = {
        each["metadata"]["name"]: [port["port"] for rule in _to_addresses(each) for port in rule["ports"]]
        for each in found.of("NetworkPolicy")
        if _to_addresses(each)
    }
    assert outward == {"talk-stream-omni-fetch": [443], "talk-stream-omni-gateway": [80, 443]}
    servers = [
        each for each in render(CASES["cpu"]).of("NetworkPolicy") if each["metadata"]["name"].endswith("-server")
    ]
    assert servers[0]["spec"]["egress"] == []


def _to_addresses(policy: Manifest) -> list[Manifest]:
    return [rule for rule in policy["spec"].get("egress", []) if any("ipBlock" in peer for peer in rule.get("to", []))]


def test_metrics_are_for_prometheus_alone() -> None:
    for policy in render(CASES["cpu"]).of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            if {port["port"] for port in rule["ports"]} & {METRICS, STATS}:
                assert rule["from"] == [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
                        "podSelector": {"matchLabels": {}},
                    }
                ]


def test_traces_may_leave_for_their_collector() -> None:
    (server,) = [
        each
        for each in render(CASES["everything-named"]).of("NetworkPolicy")
        if each["metadata"]["name"] == "speech-server"
    ]
    assert [4318] in [[port["port"] for port in rule["ports"]] for rule in server["spec"]["egress"]]
