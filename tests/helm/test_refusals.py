"""Combinations that cannot work are refused with the reason, by each `fail` of the chart."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.helm.cases import CASES, CPU, GPU
from tests.helm.chart import CHART, Refused, merged, render

_TLS = {"existingSecret": "tls"}
# what is wrong: the values, and words of the reason
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two-gpus-wanted": (merged(GPU, {"build": {"profile": "gpu-2"}}), "second GPU of the same pod: set gpu.count to 2"),
    "one-gpu-wanted": (merged(GPU, {"gpu": {"count": 2}}), "uses one GPU: set gpu.count to 1, not 2"),
    "no-gpu-wanted": (merged(GPU, {"build": {"profile": "cpu"}}), "build.profile cpu uses no GPU"),
    "demo-on-a-gpu": (merged(CPU, {"gpu": {"count": 1}}), "served.from demo is built for CPU"),
    "several-migs": (
        merged(GPU, {"build": {"profile": "gpu-2"}, "gpu": {"count": 2, "mig": "3g.40gb"}}),
        "one MIG instance only",
    ),
    "product-without-gpu": (merged(CPU, {"gpu": {"product": "L4"}}), "without gpu.count"),
    "unknown-product": (merged(GPU, {"gpu": {"product": ""}}), "set gpu.product"),
    "unknown-tensorrt": (merged(GPU, {"build": {"tensorrt": ""}}), "build.tensorrt"),
    "no-engines-volume": (
        merged(GPU, {"storage": {"engines": {"existingClaim": ""}}}),
        "served.from build needs storage.engines",
    ),
    "nothing-to-serve": (
        merged(GPU, {"served": {"from": "volume"}, "storage": {"engines": {"existingClaim": ""}}}),
        "served.from volume needs storage.engines",
    ),
    "no-checkpoints": (merged(GPU, {"storage": {"models": {"existingClaim": ""}}}), "volume of checkpoints"),
    "fetched-for-nobody": (
        merged(GPU, {"served": {"from": "volume"}, "fetch": {"enabled": True}}),
        "nothing would read",
    ),
    "unknown-capacity": (merged(GPU, {"served": {"from": "volume"}}), "the turns at once of its profile"),
    "unknown-longest-turn": (
        merged(GPU, {"served": {"from": "volume"}, "server": {"capacity": {"running": 16}}}),
        "turn_timeout_s of its profile and 5",
    ),
    "path-of-a-build": (merged(GPU, {"served": {"path": "old"}}), "follows from its key"),
    "fewest-above-most": (
        merged(CPU, {"autoscaling": {"mode": "hpa", "minReplicas": 5}}),
        "minReplicas 5 is above maxReplicas 4",
    ),
    "keda-asks-nobody": (merged(CPU, {"autoscaling": {"mode": "keda"}}), "needs autoscaling.prometheusUrl"),
    "both-scalers": (
        merged(CASES["hpa"], {"autoscaling": {"prometheusUrl": "http://p:9090"}}),
        "prometheusUrl is KEDA's",
    ),
    "full-before-scaled": (
        merged(CPU, {"autoscaling": {"mode": "hpa", "turnsPerReplica": 9}}),
        "replicas would be full",
    ),
    "scaled-unseen": (
        merged(CPU, {"autoscaling": {"mode": "hpa"}, "edge": {"mode": "none"}, "gateway": {"enabled": False}}),
        "new replicas get turns only from clients that look names up again",
    ),
    "no-way-to-roll": (merged(CPU, {"server": {"maxSurge": 0}}), "no new version could ever start"),
    "short-grace": (merged(CPU, {"server": {"terminationGracePeriodSeconds": 60}}), "drain, which takes up to 355 s"),
    "settles-too-early": (
        merged(CPU, {"server": {"drain": {"settleSeconds": 3}}}),
        "Envoy needs to notice that a server leaves, 6 s",
    ),
    "client-ca-without-tls": (
        merged(CPU, {"server": {"tls": {"clientCA": "ca"}}}),
        "without a certificate there is no TLS",
    ),
    "half-of-mutual": (merged(CPU, {"server": {"tls": {**_TLS, "clientCA": "ca"}}}), "need each other"),
    "edge-ca-without-tls": (
        merged(CPU, {"envoy": {"tls": {"clientCA": "ca"}}}),
        "envoy.tls.clientCA needs envoy.tls.existingSecret",
    ),
    "tls-of-no-envoy": (merged(CPU, {"edge": {"mode": "none"}, "envoy": {"tls": _TLS}}), "there is no Envoy"),
    "certificate-for-nobody": (merged(CPU, {"gateway": {"edgeTls": {"clientSecret": "c"}}}), "nobody would ask for it"),
    "gateway-without-certificate": (
        merged(CPU, {"envoy": {"tls": {**_TLS, "clientCA": "ca"}}}),
        "name the gateway's in gateway.edgeTls.clientSecret",
    ),
    "gateway-without-key": (merged(CPU, {"server": {"apiKeys": {"existingSecret": "k"}}}), "name the gateway's own"),
    "test-without-key": (
        merged(CPU, {"server": {"apiKeys": {"existingSecret": "k"}}, "gateway": {"enabled": False}}),
        "name one for helm test",
    ),
    "route-of-no-gateway": (merged(CPU, {"edge": {"mode": "gatewayApi"}}), "a route of no gateway carries nothing"),
    "gateway-of-no-route": (
        merged(CPU, {"edge": {"gatewayApi": {"parentRefs": [{"name": "g"}]}}}),
        "it would do nothing",
    ),
    "equal-ports": (merged(CPU, {"server": {"ports": {"admin": 8002}}}), "server.ports must differ"),
    "equal-edge-ports": (merged(CPU, {"envoy": {"statsPort": 8001}}), "envoy.port and envoy.statsPort must differ"),
    "administration-s-port": (merged(CPU, {"envoy": {"port": 9901}}), "only its own pod reaches"),
    "door-behind-a-wall": (merged(CPU, {"envoy": {"service": {"type": "LoadBalancer"}}}), "name who may come"),
    "pictures-behind-a-wall": (
        merged(CPU, {"gateway": {"fetchPictures": True}, "networkPolicy": {"outside": []}}),
        "pictures could not be reached",
    ),
    "hubs-behind-a-wall": (merged(CASES["fetch"], {"networkPolicy": {"outside": []}}), "hubs could not be reached"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name: str) -> None:
    values, reason = REFUSED[name]
    with pytest.raises(Refused) as refused:
        render(values)
    assert reason in str(refused.value)


def test_every_fail_of_the_chart_is_among_them() -> None:
    """Each `fail`'s fixed words are those of a case above."""
    text = (CHART / "templates" / "_checks.tpl").read_text(encoding="utf-8")
    fails = re.findall(r'fail \(?(?:printf )?"([^"]+)"', text)
    assert len(fails) == text.count("fail ") and len(fails) > 30
    reasons = [_said(values) for values, _ in REFUSED.values()]
    for message in fails:
        pattern = re.compile(re.sub(r"%[sdv]", ".*", re.escape(message).replace("%", "%")))
        assert any(pattern.search(reason) for reason in reasons), f"no case is refused with: {message}"


def test_another_kubernetes_than_ours_is_refused() -> None:
    with pytest.raises(Refused, match=r">=1\.28\.0"):
        render(CPU, kubernetes="1.27.9")


def _said(values: dict[str, Any]) -> str:
    try:
        render(values)
    except Refused as refused:
        return str(refused)
    return ""
