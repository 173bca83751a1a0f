"""The cluster would take the manifests in: strict schemas of Kubernetes, and of the custom resources."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from functools import cache

import kubernetes_validate
import pytest
from kubernetes_validate.utils import all_versions, major_minor

from tests.helm import programs
from tests.helm.cases import CASES
from tests.helm.chart import CHART, Manifest, render


def _minor(version: str) -> int:
    return int(version.split(".")[1])


OLDEST = re.findall(r'kubeVersion: ">=(1\.\d+)\.', (CHART / "Chart.yaml").read_text(encoding="utf-8"))[0]
MINORS = sorted({minor for minor in map(major_minor, all_versions()) if _minor(minor) >= _minor(OLDEST)}, key=_minor)
# Megabytes, which it would read again for each object
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
CUSTOM = ("keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io")


def is_custom(manifest: Manifest) -> bool:
    return str(manifest["apiVersion"]).startswith(CUSTOM)


def check(manifest: Manifest, minor: str) -> None:
    """Raises ValidationError; and SchemaNotFoundError for an API that this Kubernetes does not have (any more)."""
    kubernetes_validate.validate(manifest, minor, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_the_newest_kubernetes_takes_every_manifest_in(name: str) -> None:
    for manifest in render(CASES[name]).objects:
        if not is_custom(manifest):
            check(manifest, MINORS[-1])


@pytest.mark.k8s
@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("name", CASES)
def test_every_kubernetes_takes_every_manifest_in(name: str, minor: str) -> None:
    for manifest in render(CASES[name], kubernetes=minor).objects:
        if not is_custom(manifest):
            check(manifest, minor)


def test_from_1_28_on_every_minor_is_there() -> None:
    assert [_minor(minor) for minor in MINORS] == list(range(28, _minor(MINORS[-1]) + 1)) and len(MINORS) >= 10


def test_the_check_notices_unknown_fields_and_unknown_apis() -> None:
    deployment = render(CASES["cpu"]).one("Deployment", "server")
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(wrong, MINORS[0])
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check({**deployment, "apiVersion": "extensions/v1beta1"}, MINORS[0])


@pytest.mark.k8s
def test_custom_resources_are_as_their_definitions_say() -> None:
    found = [each for values in CASES.values() for each in render(values).objects if is_custom(each)]
    assert {each["kind"] for each in found} == {"ScaledObject", "PodMonitor", "PrometheusRule", "GRPCRoute"}
    assert wrong_with(found) == ""


@pytest.mark.k8s
def test_that_check_notices_unknown_fields_wrong_values_and_missing_ones() -> None:
    scaled = render(CASES["keda"]).one("ScaledObject")
    unknown, wrong, missing = (copy.deepcopy(scaled) for _ in range(3))
    unknown["spec"]["triggers"][0]["metadatas"] = {}
    wrong["spec"]["minReplicaCount"] = "one"
    del missing["spec"]["triggers"]
    for bad, word in ((unknown, "metadatas"), (wrong, "minReplicaCount"), (missing, "triggers")):
        assert word in wrong_with([bad])


def wrong_with(resources: list[Manifest]) -> str:
    folder = programs.node_packages()
    node = shutil.which("node")
    assert node
    told = json.dumps(resources)
    return subprocess.run(
        [node, "check.mjs"], cwd=folder, input=told, capture_output=True, text=True, check=True
    ).stdout.strip()
