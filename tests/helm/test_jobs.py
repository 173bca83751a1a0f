"""The Jobs that download and compile: before servers, in order, and anew when they would make something else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.cases import CASES, GPU
from tests.helm.chart import Rendered, merged, render


def _weight(manifest: dict[str, Any]) -> int:
    hooks = manifest["metadata"]["annotations"]
    assert hooks["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert hooks["helm.sh/hook-delete-policy"] == "before-hook-creation"
    return int(hooks["helm.sh/hook-weight"])


def test_jobs_come_before_servers_and_one_after_the_other() -> None:
    """Hooks of a lower weight come first and are waited for; a Job without its way to the hubs would hang."""
    found = render(CASES["fetch"])
    policies = [each for each in found.of("NetworkPolicy") if "annotations" in each["metadata"]]
    assert len(policies) == 2
    fetch, build = found.one("Job", "fetch"), found.one("Job", "build")
    assert max(map(_weight, policies)) < _weight(fetch) < _weight(build)
    assert "annotations" not in found.one("Deployment", "server")["metadata"]
    assert not render(CASES["cpu"]).of("Job") and not render(CASES["volume"]).of("Job")


def _mounts(found: Rendered, component: str) -> dict[str, tuple[str, bool]]:
    """By path: the claim, and whether it can be written."""
    spec = found.pod(component)["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]
        for volume in spec["volumes"]
        if "persistentVolumeClaim" in volume
    }
    return {
        mount["mountPath"]: (
            claims[mount["name"]]["claimName"],
            not mount.get("readOnly") and not claims[mount["name"]].get("readOnly"),
        )
        for mount in spec["containers"][0]["volumeMounts"]
        if mount["name"] in claims
    }


def test_each_writes_only_what_it_makes() -> None:
    found = render(CASES["fetch"])
    assert _mounts(found, "fetch") == {"/models": ("models", True)}
    assert _mounts(found, "build") == {"/models": ("models", False), "/served": ("engines", True)}
    assert _mounts(found, "server") == {"/served": ("engines", False)}


@pytest.mark.parametrize(
    "change",
    [
        {"gpu": {"product": "NVIDIA-A100-SXM4-80GB"}},
        {"build": {"tensorrt": "10.14.2"}},
        {"build": {"arguments": ["--precision=fp16"]}},
        {"build": {"deadlineSeconds": 7200}},
        {"image": {"tag": "0.2.0"}},
    ],
    ids=str,
)
def test_another_build_is_another_job_and_the_same_one_is_not(change: dict[str, Any]) -> None:
    """A Job's specification cannot be changed, so its name follows from it."""

    def name(values: dict[str, Any]) -> str:
        return str(render(values).one("Job", "build")["metadata"]["name"])

    assert name(merged(GPU, change)) != name(GPU)
    assert name(merged(GPU, {"server": {"replicas": 5}, "gateway": {"replicas": 4}})) == name(GPU)


def test_they_end_in_time_and_are_tried_again() -> None:
    found = render(CASES["fetch"])
    for component, retries in (("fetch", 6), ("build", 2)):
        spec = found.one("Job", component)["spec"]
        assert spec["backoffLimit"] == retries and spec["activeDeadlineSeconds"] == 14_400
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
