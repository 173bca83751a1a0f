"""Every case renders with each helm, and the values of the laptop agree with the profile that they are for."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from stream_omni_build.deployment import read_deployment, shipped

from tests.helm.cases import CASES, CPU, GPU
from tests.helm.chart import ROOT, lint, merged, render
from tests.helm.test_envoy import cluster


@pytest.mark.parametrize("name", CASES)
def test_every_case_renders(name: str) -> None:
    found = render(CASES[name])
    assert found.one("Deployment", "server")
    names = [(each["kind"], each["metadata"]["name"]) for each in found.objects]
    assert len(names) == len(set(names))


@pytest.mark.k8s
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("helm", [3, 4])
def test_both_helms_find_nothing_wrong_and_render_the_same(helm: int, name: str) -> None:
    assert lint(CASES[name], helm) == ""
    assert render(CASES[name], helm).objects == render(CASES[name]).objects


def _breaker(values: dict[str, Any]) -> int:
    (threshold,) = cluster(values)["circuit_breakers"]["thresholds"]
    return int(threshold["max_requests"])


def test_turns_at_once_are_those_of_the_profile() -> None:
    profile = tomllib.loads((ROOT / "build/stream_omni_build/profiles/cpu.toml").read_text(encoding="utf-8"))
    assert _breaker(CPU) == profile["shared"]["slots"] + profile["stream_omni"]["waiting"]
    drain = render(CPU).pod("server")["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    (turns,) = [float(part.partition("=")[2]) for part in drain if part.startswith("--turns-s")]
    assert turns >= profile["shared"]["turn_timeout_s"] + 5
    for name in shipped():
        deployment = read_deployment(name)
        values = merged(GPU, {"build": {"profile": name}, "gpu": {"count": deployment.gpus}})
        assert _breaker(values) == deployment.turns + max(1, deployment.turns // 2)


def test_engines_have_a_key_of_all_that_they_depend_on() -> None:
    """Another GPU, TensorRT, model or flag is another directory; what engines do not depend on is not."""
    changes = {
        "gpu": {"gpu": {"product": "NVIDIA-A100-SXM4-80GB"}},
        "tensorrt": {"build": {"tensorrt": "10.14.2"}},
        "model": {"fetch": {"streamOmni": "hf:ICTNLP/stream-omni-8b@0123abc"}},
        "flags": {"build": {"arguments": ["--precision=fp16"]}},
        "profile": {"build": {"profile": "gpu-1-24g"}},
        "mig": {"gpu": {"mig": "3g.40gb"}},
    }
    keys = {name: _repository(merged(GPU, change)) for name, change in changes.items()}
    assert len({*keys.values(), _repository(GPU)}) == len(changes) + 1
    assert _repository(merged(GPU, {"server": {"replicas": 3, "logFormat": "text"}})) == _repository(GPU)


def _repository(values: dict[str, object]) -> str:
    """The same of the server, the check before it, and the Job that builds."""
    found = render(values)
    server = found.pod("server")["spec"]
    (served,) = [part for part in server["containers"][0]["args"] if part.startswith("--repository=")]
    (out,) = [part for part in found.pod("build")["spec"]["containers"][0]["args"] if part.startswith("--out=")]
    path = served.removeprefix("--repository=")
    assert out == f"--out={path}" and server["initContainers"][0]["args"][-1] == path
    return path


def test_images_are_named_by_digest_or_version() -> None:
    def images(name: str) -> dict[str, str]:
        return {pod: part["spec"]["containers"][0]["image"] for pod, part in render(CASES[name]).pods()}

    assert images("cpu") == {
        "server": "stream-omni:cpu",
        "gateway": "stream-omni:cpu",
        "test": "stream-omni:cpu",
        "envoy": "envoyproxy/envoy:v1.40.0",
    }
    named = images("everything-named")
    assert named["server"] == f"stream-omni@sha256:{'0' * 64}"
    assert named["gateway"] == named["test"] == "stream-omni:gateway"
    assert images("gpu")["build"] == images("gpu")["server"] == "stream-omni:0.1.0"
