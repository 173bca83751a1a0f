"""Every case renders with each helm, and the values of the laptop agree with the profile that they are for."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from stream_omni_build.deployment import read_deployment, shipped
from stream_omni_build.gpu_repository import render_deployment
from stream_omni_build.repository import find_profile, render_repository
from stream_omni_chart.measured import DEMO, capacities_text

from stream_omni.model_info import ModelInfo
from stream_omni.serving.connections import connection_arguments
from tests.helm.cases import CASES, CPU, GPU
from tests.helm.chart import CHART, ROOT, Rendered, lint, merged, render
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


def _values_of(profile: str) -> dict[str, Any]:
    if profile == "cpu":
        return CPU
    return merged(GPU, {"build": {"profile": profile}, "gpu": {"count": read_deployment(profile).gpus}})


def test_turns_at_once_are_those_of_the_profile() -> None:
    profile = tomllib.loads((ROOT / "build/stream_omni_build/profiles/cpu.toml").read_text(encoding="utf-8"))
    assert _breaker(CPU) == profile["shared"]["slots"] + profile["stream_omni"]["waiting"]
    for name in shipped():
        deployment = read_deployment(name)
        assert _breaker(_values_of(name)) == deployment.turns + max(1, deployment.turns // 2)


@pytest.mark.parametrize("profile", ["cpu", *shipped()])
def test_a_drain_waits_for_the_longest_turn_of_the_profile(profile: str, built_directory: Path, tmp_path: Path) -> None:
    """As long as Triton keeps a connection for it, by the configuration that the build writes; Envoy waits as long."""
    info = ModelInfo.load(built_directory / "assets" / "model.json")
    if profile == "cpu":
        render_repository(find_profile("cpu"), info, ["default"], tmp_path)
    else:
        render_deployment(read_deployment(profile), info, ["default"], tmp_path)
    *_, grace = connection_arguments(tmp_path / "model_repository", age_s=600)
    found = render(_values_of(profile))
    turns_s = _turns_s(found)
    assert grace == f"--grpc-max-connection-age-grace={1000 * turns_s}"
    *_, envoys_s = found.pod("envoy")["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert int(envoys_s) == turns_s


def test_who_serves_a_volume_says_how_long_its_turns_may_be() -> None:
    found = render(CASES["volume"])
    assert _turns_s(found) == 125
    assert found.pod("server")["spec"]["terminationGracePeriodSeconds"] == 10 + 125 + 30 + 10


def _turns_s(found: Rendered) -> int:
    drain = found.pod("server")["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    (turns,) = [part.partition("=")[2] for part in drain if part.startswith("--turns-s")]
    return int(turns)


def test_the_target_is_seven_tenths_of_what_was_measured() -> None:
    """Of the profile's places where it was not measured, or where the places are others."""
    measured = yaml.safe_load((CHART / "measured" / "capacity.yaml").read_text(encoding="utf-8"))
    for profile in ("cpu", *shipped()):
        values = merged(_values_of(profile), {"autoscaling": {"mode": "hpa"}})
        places = 8 if profile == "cpu" else read_deployment(profile).turns
        name = DEMO if profile == "cpu" else profile
        assert _target(values) == max(1, 7 * min(places, measured.get(name, places)) // 10), profile
    another_model = {"build": {"profile": "cpu"}, "gpu": {"count": 0, "product": "", "runtimeClass": ""}}
    another = merged(GPU, another_model, {"autoscaling": {"mode": "hpa"}})
    assert _target(another) == 7 * min(8, measured.get("cpu", 8)) // 10
    own = {"autoscaling": {"mode": "hpa"}, "server": {"capacity": {"running": 20}}}
    assert _target(merged(CPU, own)) == 14
    assert _target(merged(CPU, own, {"autoscaling": {"turnsPerReplica": 3}})) == 3


def test_another_measurement_is_added_to_those_that_are_there(tmp_path: Path) -> None:
    """The demo's counts for no other model on its profile, and a name that nobody can choose is refused."""
    result, written = tmp_path / "capacity.json", tmp_path / "capacity.yaml"
    assert yaml.safe_load(capacities_text(result, written)) == {}

    def measure(capacity: int, **parameters: str) -> dict[str, int]:
        result.write_text(json.dumps({"parameters": parameters, "values": {"capacity": capacity}}), encoding="utf-8")
        written.write_text(capacities_text(result, written), encoding="utf-8")
        found: dict[str, int] = yaml.safe_load(written.read_text(encoding="utf-8"))
        return found

    assert measure(4, profile="cpu", served="demo") == {"demo": 4}
    assert measure(12, profile="gpu-1", server="localhost:8001") == {"demo": 4, "gpu-1": 12}
    assert measure(6, profile="cpu", served="mine") == {"demo": 4, "gpu-1": 12, "cpu": 6}
    assert measure(5, profile="cpu", served="demo") == {"demo": 5, "gpu-1": 12, "cpu": 6}
    with pytest.raises(ValueError, match=r"no profile is named gpu-3; --profile is one of demo, cpu, gpu-1, "):
        measure(9, profile="gpu-3", served="8b")
    with pytest.raises(ValueError, match="not one turn came in time"):
        measure(0, profile="cpu", served="mine")


def _target(values: dict[str, Any]) -> int:
    (metric, _) = render(values).one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "stream_omni_demand_streams"
    return int(metric["pods"]["target"]["averageValue"])


def test_engines_have_a_key_of_all_that_they_depend_on() -> None:
    """Another GPU, TensorRT, model, flag or image is another directory; what engines do not depend on is not."""
    changes = {
        "gpu": {"gpu": {"product": "NVIDIA-A100-SXM4-80GB"}},
        "tensorrt": {"build": {"tensorrt": "10.14.2"}},
        "model": {"fetch": {"streamOmni": "hf:ICTNLP/stream-omni-8b@0123abc"}},
        "flags": {"build": {"arguments": ["--precision=fp16"]}},
        "profile": {"build": {"profile": "gpu-1-24g"}},
        "mig": {"gpu": {"mig": "3g.40gb"}},
        "image": {"image": {"tag": "0.2.0"}},
        "digest": {"image": {"digest": f"sha256:{'1' * 64}"}},
        "registry": {"image": {"repository": "registry.example/stream-omni"}},
    }
    keys = {name: _repository(merged(GPU, change)) for name, change in changes.items()}
    assert len({*keys.values(), _repository(GPU)}) == len(changes) + 1
    another = {"server": {"replicas": 3, "logFormat": "text"}, "gateway": {"image": {"tag": "gateway"}}}
    assert _repository(merged(GPU, another)) == _repository(GPU)


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
