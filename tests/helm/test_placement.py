"""Where pods may run, with which GPUs, and how many of them may go at once."""

from __future__ import annotations

from typing import Any

from tests.helm.cases import CASES, GPU
from tests.helm.chart import Manifest, merged, render


def _gpus(pod: Manifest) -> dict[str, int]:
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    return {name: count for name, count in limits.items() if name.startswith("nvidia.com/")}


def test_pods_that_compute_get_the_gpus_that_were_named() -> None:
    wanted: dict[str, dict[str, int]] = {
        "gpu": {"nvidia.com/gpu": 1},
        "gpu-2": {"nvidia.com/gpu": 2},
        "mig": {"nvidia.com/mig-3g.40gb": 1},
        "torch": {"nvidia.com/gpu": 1},
    }
    for name, gpus in wanted.items():
        found = render(CASES[name])
        for component in ("server", "build"):
            pod = found.pod(component)
            assert _gpus(pod) == gpus, (name, component)
            assert pod["spec"]["runtimeClassName"] == "nvidia"
            assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
        assert not any(_gpus(pod) for component, pod in found.pods() if component not in ("server", "build"))


def test_without_gpus_none_is_asked_for() -> None:
    for component, pod in render(CASES["cpu"]).pods():
        assert not _gpus(pod) and not pod["spec"].keys() & {"runtimeClassName", "nodeSelector"}, component


def test_own_selectors_and_tolerations_come_on_top() -> None:
    own: dict[str, Any] = {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    for component in ("server", "build"):
        spec = render(merged(GPU, {"server": own})).pod(component)["spec"]
        assert spec["nodeSelector"] == {"disk": "fast", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
        assert spec["tolerations"] == own["tolerations"]


def test_replicas_are_spread_over_nodes_and_zones() -> None:
    """Each version by itself, or a new one would be squeezed between the places of the old one."""
    pods = dict(render(CASES["cpu"]).pods())
    for component in ("server", "envoy", "gateway"):
        constraints = pods[component]["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert all(each["maxSkew"] == 1 and each["matchLabelKeys"] == ["pod-template-hash"] for each in constraints)


def test_an_eviction_takes_one_pod_of_a_kind() -> None:
    found = render(CASES["cpu"])
    budgets = {each["metadata"]["name"]: each["spec"] for each in found.of("PodDisruptionBudget")}
    assert {name.rpartition("-")[2] for name in budgets} == {"server", "envoy", "gateway"}
    assert all(spec["maxUnavailable"] == 1 for spec in budgets.values())
    assert len(render(CASES["servers-alone"]).of("PodDisruptionBudget")) == 1


def test_requests_find_their_shared_memory() -> None:
    """Triton and its stages hand tensors to one another there; a container's own is 64 MB."""
    for name in ("cpu", "gpu"):
        spec = render(CASES[name]).pod("server")["spec"]
        (memory,) = [volume["emptyDir"] for volume in spec["volumes"] if volume["name"] == "shared-memory"]
        assert memory["medium"] == "Memory" and memory["sizeLimit"] in ("256Mi", "2Gi")
        assert {"name": "shared-memory", "mountPath": "/dev/shm"} in spec["containers"][0]["volumeMounts"]
