"""What the chart's README shows can be done, and what Helm says after an installation."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml

from tests.helm import programs
from tests.helm.cases import CASES, CPU
from tests.helm.chart import CHART, NAMESPACE, RELEASE, Values, as_yaml, render
from tests.helm.test_schemas import MINORS, check

_README = (CHART / "README.md").read_text(encoding="utf-8")


def _examples() -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", _README, re.DOTALL)]


def test_the_examples_can_be_installed() -> None:
    claim, values = _examples()
    check(claim, MINORS[-1])
    found = render(values)
    assert {component for component, _ in found.pods()} == {"server", "envoy", "gateway", "build", "fetch", "test"}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, pod in found.pods()
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {"engines", "models"}


def test_names_and_times_of_the_readme_are_those_of_the_chart() -> None:
    found = render(CPU, release="demo")
    services = {each["metadata"]["name"] for each in found.of("Service")}
    (forwarded,) = re.findall(r"port-forward service/(\S+)", _README)
    assert forwarded in services and "demo-stream-omni-server-headless" in services
    (grace_s,) = re.findall(r"The pod's grace period is the sum, and 10 s: (\d+) s with the defaults", _README)
    assert found.pod("server")["spec"]["terminationGracePeriodSeconds"] == int(grace_s)


def notes(values: Values) -> str:
    """What Helm 4 prints after an installation; it only pretends. (Helm 3 wants a cluster even for that.)"""
    command = [programs.helm(4), "install", RELEASE, CHART, "--namespace", NAMESPACE, "--dry-run=client"]
    told = [*command, "--values", "-"]
    ended = subprocess.run(told, input=as_yaml(values), capture_output=True, text=True, check=True)
    return ended.stdout.partition("NOTES:\n")[2]


def test_the_notes_tell_what_to_do_next() -> None:
    told = notes(CASES["hpa"])
    found = render(CASES["hpa"])
    names = {each["metadata"]["name"] for each in found.objects}
    for kind, name in re.findall(r"(deployment|service)/(\S+)", told):
        assert name in names, f"the notes name a {kind} that is not there"
    for words in (
        f"helm test {RELEASE} --namespace {NAMESPACE}",
        f"kubectl --namespace {NAMESPACE} rollout status deployment/",
        "port-forward service/",
        "stream-omni ask --url",
        f"namespaces/{NAMESPACE}/pods/*/stream_omni_demand_streams",
        "its pod may take up to 355 s",
    ):
        assert words in told, words
    assert "talk-stream-omni-adapter-rules" in names and "talk-stream-omni-adapter-rules" in told


def test_the_notes_warn_of_what_is_open_or_unseen() -> None:
    assert "WARNING" not in notes(CASES["keys"])
    unseen = {**CPU, "autoscaling": {"mode": "hpa"}}
    assert "the autoscaler sees nothing" in notes(unseen)
    assert "everybody who reaches the cluster's network may ask" in notes(CASES["servers-alone"])
    assert "open to the outside without keys" in notes(CASES["everything-named"])
    assert "clients must spread turns themselves" in notes(CASES["no-edge"])
