"""The cluster would take the manifests in: strict schemas of Kubernetes, and of the custom resources."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from kubernetes_validate.utils import all_versions, major_minor, schema_contents
from referencing import Registry, Resource

from tests.helm import programs
from tests.helm.cases import CASES
from tests.helm.chart import CHART, Manifest, render


def _minor(version: str) -> int:
    return int(version.split(".")[1])


OLDEST = re.findall(r'kubeVersion: ">=(1\.\d+)\.', (CHART / "Chart.yaml").read_text(encoding="utf-8"))[0]
MINORS = sorted({minor for minor in map(major_minor, all_versions()) if _minor(minor) >= _minor(OLDEST)}, key=_minor)
_DOMAIN = r"(?:\.[^/]*)?/"  # of an API's group: rbac.authorization.k8s.io/v1 is rbac-v1
CUSTOM = ("keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io")


def is_custom(manifest: Manifest) -> bool:
    return str(manifest["apiVersion"]).startswith(CUSTOM)


def check(manifest: Manifest, minor: str) -> None:
    """Raises ValidationError; and FileNotFoundError for an API that this Kubernetes does not have (any more)."""
    _validator(minor, manifest["kind"].lower(), manifest["apiVersion"]).validate(manifest)


@cache
def _validator(minor: str, kind: str, api: str) -> Draft202012Validator:
    """By kubernetes-validate's strict schemas; its own function reads megabytes again for each object."""
    schema = schema_contents(f"{_folder(minor)}/{kind}-{re.sub(_DOMAIN, '-', api)}.json", minor)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(minor))


@cache
def _definitions(minor: str) -> Registry[Any]:
    contents = schema_contents(f"{_folder(minor)}/_definitions.json", minor)
    return (Resource.from_contents(contents) @ Registry()).crawl()


def _folder(minor: str) -> str:
    (version,) = {each.removesuffix("-local") for each in all_versions() if major_minor(each) == minor}
    return f"kubernetes-json-schema/v{version}-local-strict"


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
    with pytest.raises(ValidationError):
        check(wrong, MINORS[0])
    with pytest.raises(FileNotFoundError):
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
    folder = programs.node_packages(Path(__file__).parent / "custom_resources")
    node = shutil.which("node")
    assert node
    told = json.dumps(resources)
    return subprocess.run(
        [node, "check.mjs"], cwd=folder, input=told, capture_output=True, text=True, check=True
    ).stdout.strip()
