"""What objects say of one another holds: selectors, ports, files, times, names of metrics, options of commands."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from stream_omni_build import demo
from stream_omni_build import main as build_command
from stream_omni_build.fetch import command as fetch_command
from stream_omni_client import health_command
from stream_omni_client.gateway import command as gateway_command

from stream_omni.serving import drain_command, serve
from stream_omni.serving.metrics import METRICS
from tests.helm.cases import CASES
from tests.helm.chart import CHART, RELEASE, Manifest, Rendered, component_of, render


@pytest.fixture(params=CASES)
def found(request: pytest.FixtureRequest) -> Rendered:
    return render(CASES[request.param])


def containers(pod: Manifest) -> Iterator[Manifest]:
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def selects(labels: Manifest, pod: Manifest) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()


def test_every_selector_selects_the_pods_that_it_is_for(found: Rendered) -> None:
    pods = dict(found.pods())
    for each in found.objects:
        component, spec = component_of(each["metadata"]), each.get("spec", {})
        if each["kind"] == "Service":
            wanted = [spec["selector"]]
        elif each["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            wanted = [spec["selector"]["matchLabels"]]
        else:
            wanted = []
        for labels in wanted:
            chosen = [name for name, pod in pods.items() if selects(labels, pod)]
            assert chosen == [component], f"{each['kind']} {each['metadata']['name']} selects {chosen}"
    for name, pod in pods.items():
        for constraint in pod["spec"].get("topologySpreadConstraints", []):
            assert selects(constraint["labelSelector"]["matchLabels"], pod), name


def test_every_port_that_is_named_is_there(found: Rendered) -> None:
    ports = {
        name: {port["name"]: port["containerPort"] for part in containers(pod) for port in part.get("ports", [])}
        for name, pod in found.pods()
    }
    for service in found.of("Service"):
        for port in service["spec"]["ports"]:
            assert ports[component_of(service["metadata"])][port["targetPort"]] == port["port"]
    for monitor in found.of("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert endpoint["port"] in ports[component_of(monitor["metadata"])]
    for name, pod in found.pods():
        for part in containers(pod):
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in part:
                    assert part[probe]["httpGet"]["port"] in ports[name]
    for route in found.of("GRPCRoute"):
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        services = {each["metadata"]["name"]: each for each in found.of("Service")}
        assert backend["port"] in [port["port"] for port in services[backend["name"]]["spec"]["ports"]]


def test_clients_ask_a_service_and_a_port_that_are_there(found: Rendered) -> None:
    doors = {
        f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{port['port']}"
        for service in found.of("Service")
        for port in service["spec"]["ports"]
    }
    asked = {
        (name, part["name"]): each["value"]
        for name, pod in found.pods()
        for part in containers(pod)
        for each in part.get("env", [])
        if each["name"] == "STREAM_OMNI_URL"
    }
    clients = {("gateway", "gateway"), ("test", "turn")}
    assert asked.keys() == {(name, part) for name, part in clients if name in dict(found.pods())}
    assert {*asked.values()} <= doors
    for part in (part for name, pod in found.pods() if name == "test" for part in containers(pod)):
        for url in re.findall(r"https?://([\w.-]+:\d+)/", " ".join(part["args"])):
            assert url in doors


def test_every_file_that_is_named_is_mounted_and_every_mount_has_a_volume(found: Rendered) -> None:
    for _, pod in found.pods():
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        used = set()
        for part in containers(pod):
            mounts = {mount["mountPath"]: mount["name"] for mount in part.get("volumeMounts", [])}
            used |= set(mounts.values())
            assert set(mounts.values()) <= volumes.keys() and len(mounts) == len(part.get("volumeMounts", []))
            said = [*part.get("command", []), *part.get("args", []), *(each["value"] for each in part.get("env", []))]
            for path in re.findall(r"/etc/stream-omni/([\w-]+)/([\w.-]+)", " ".join(map(str, said))):
                volume = volumes[mounts[f"/etc/stream-omni/{path[0]}"]]
                items = volume["secret"].get("items")
                assert items is None or path[1] in [item["path"] for item in items]
        assert used == volumes.keys()


def test_secrets_and_claims_are_those_of_the_values_and_config_maps_those_of_the_chart() -> None:
    for name, values in CASES.items():
        found, told = render(values), re.findall(r"'([^']+)'", str(values))
        maps = {each["metadata"]["name"] for each in found.of("ConfigMap")}
        assert not found.of("Secret") and not found.of("PersistentVolumeClaim")
        for _, pod in found.pods():
            for volume in pod["spec"].get("volumes", []):
                if "secret" in volume:
                    assert volume["secret"]["secretName"] in told, name
                if "persistentVolumeClaim" in volume:
                    assert volume["persistentVolumeClaim"]["claimName"] in told
                if "configMap" in volume:
                    assert volume["configMap"]["name"] in maps
            for part in containers(pod):
                given = [each for each in part.get("env", []) if "valueFrom" in each]
                assert not given and "envFrom" not in part, "secrets are files"


def option(words: list[Any], name: str) -> int:
    (value,) = [str(word).partition("=")[2] for word in words if str(word).startswith(f"{name}=")]
    return int(float(value))


def test_a_pod_is_not_killed_before_its_turns_have_ended(found: Rendered) -> None:
    """preStop comes first, then SIGTERM and the program's own drain; the grace period holds both."""
    server = found.pod("server")["spec"]
    stop = server["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    before = option(stop, "--settle-s") + option(stop, "--turns-s")
    drain = option(server["containers"][0]["args"], "--drain-timeout-s")
    assert server["terminationGracePeriodSeconds"] >= before + drain + 10  # docs/reliability.md
    for gateway in (pod["spec"] for name, pod in found.pods() if name == "gateway"):
        settle = int(gateway["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        drain = option(gateway["containers"][0]["args"], "--drain-timeout")
        assert drain >= option(gateway["containers"][0]["args"], "--turn-timeout")
        assert gateway["terminationGracePeriodSeconds"] >= settle + drain + 10
    for envoy in (pod["spec"] for name, pod in found.pods() if name == "envoy"):
        *_, settle, turns = map(str, envoy["containers"][0]["lifecycle"]["preStop"]["exec"]["command"])
        assert int(turns) >= option(stop, "--turns-s")
        assert envoy["terminationGracePeriodSeconds"] >= int(settle) + int(turns) + 10


def test_probes_leave_a_server_the_time_that_its_start_may_take(found: Rendered) -> None:
    server = found.pod("server")["spec"]["containers"][0]
    start = server["startupProbe"]
    longest = option(server["args"], "--ready-timeout-s")
    assert start["periodSeconds"] * start["failureThreshold"] > longest
    assert found.one("Deployment", "server")["spec"]["progressDeadlineSeconds"] > longest
    assert [server[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")] == [
        "/ready",
        "/ready",
        "/live",
    ]


PARSERS: dict[str, Callable[[], Any]] = {
    "serve": serve.make_parser,
    "gateway": gateway_command.make_parser,
    "health": health_command.make_parser,
    "drain": drain_command.make_parser,
    "build": build_command.make_parser,
    "fetch": fetch_command.make_parser,
    demo.__name__: demo._parser,
}


def _command(words: list[str]) -> list[str]:
    """Of ours, behind what a shell or Python adds; empty: another program's."""
    if words[:2] == ["sh", "-c"] and "exec stream-omni fetch" in words[2]:
        return ["stream-omni", "fetch", *words[4:]]
    return words if words[:1] == ["stream-omni"] or words[:2] == ["python", "-m"] else []


def test_commands_understand_their_arguments(found: Rendered) -> None:
    for _, pod in found.pods():
        for part in containers(pod):
            stop = part.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
            for words in ([*part["command"], *part.get("args", [])], stop):
                if words := _command(list(map(str, words))):
                    name, *arguments = words[2:] if words[0] == "python" else words[1:]
                    PARSERS[name]().parse_args(arguments)


def test_a_token_reaches_the_download_from_its_file(tmp_path: Path) -> None:
    fetch = render(CASES["fetch"]).pod("fetch")["spec"]["containers"][0]
    (tmp_path / "token").write_text("hf_secret\n")
    (tmp_path / "stream-omni").write_text('#!/bin/sh\necho "$HF_TOKEN" "$@"\n')
    (tmp_path / "stream-omni").chmod(0o755)
    *shell, file = fetch["command"]
    assert file == "/etc/stream-omni/token/token"
    command, path = [*shell, str(tmp_path / "token"), *fetch["args"]], f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["hf_secret", "fetch", *fetch["args"]]


def test_a_pod_whose_build_is_not_complete_does_not_start(tmp_path: Path) -> None:
    check = render(CASES["gpu"]).pod("server")["spec"]["initContainers"][0]
    command = [*check["command"], check["args"][0], str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1 and f"{tmp_path} holds no complete build" in ended.stderr
    (tmp_path / "manifest.json").touch()
    assert subprocess.run(command).returncode == 0


def test_every_pod_keeps_to_the_restricted_profile_with_a_root_that_cannot_be_written(found: Rendered) -> None:
    for name, pod in found.pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False, name
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        whole = spec["securityContext"]
        assert whole["runAsNonRoot"] is True and whole["runAsUser"] > 0
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        for part in containers(pod):
            own = part["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= part["resources"]["requests"].keys() and "memory" in part["resources"]["limits"]
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}


def test_what_scales_is_one_thing_and_reads_metrics_that_exist(found: Rendered) -> None:
    scalers = [*found.of("HorizontalPodAutoscaler"), *found.of("ScaledObject")]
    deployment = found.one("Deployment", "server")
    assert len(scalers) <= 1
    assert ("replicas" in deployment["spec"]) != bool(scalers)
    known = {metric.name for metric in METRICS}
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        assert target["kind"] == "Deployment" and target["name"] == deployment["metadata"]["name"]
        assert re.search("stream-omni", scaler["metadata"]["name"]), "the alerts look for this in its name"
        text = str(scaler["spec"])
        rules = [each["data"]["config.yaml"] for each in found.of("ConfigMap") if "config.yaml" in each["data"]]
        if scaler["kind"] == "HorizontalPodAutoscaler":
            (config,) = rules
            asked = {each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"]}
            assert asked == set(re.findall(r"as: (\w+)", config))
            text = config.replace("as: stream_omni_demand_streams", "")
        else:
            assert f'release="{RELEASE}"' in text
        names = set(re.findall(r"\bstream_omni_\w+", text.replace('"stream_omni"', "")))
        assert names and names <= known, names - known


def test_a_scaled_service_never_shrinks_to_nothing_nor_in_haste() -> None:
    for name in ("hpa", "keda"):
        (scaler,) = [*render(CASES[name]).of("HorizontalPodAutoscaler"), *render(CASES[name]).of("ScaledObject")]
        spec = scaler["spec"]
        assert spec.get("minReplicas", spec.get("minReplicaCount")) >= 1 and "idleReplicaCount" not in spec
        behaviour = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behaviour["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert behaviour["scaleDown"]["stabilizationWindowSeconds"] >= 300
        assert behaviour["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_scrapes_carry_the_labels_that_rules_and_dashboards_ask_for() -> None:
    from stream_omni_monitoring.targets import COMPONENTS

    monitors = render(CASES["hpa"]).of("PodMonitor")
    seen = set()
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        labels = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
        assert labels["app"] == "stream-omni" and labels["release"] == RELEASE
        seen.add(labels["component"])
    assert seen == set(COMPONENTS)


def test_rules_and_dashboards_are_all_handed_over() -> None:
    found = render(CASES["hpa"])
    groups = found.one("PrometheusRule")["spec"]["groups"]
    texts = [path.read_text(encoding="utf-8") for path in sorted((CHART / "rules").glob("*.yaml"))]
    files = [yaml.safe_load(text.replace("RUNBOOKS_URL", "docs/runbooks")) for text in texts]
    assert groups and groups == [group for file in files for group in file["groups"]]
    (dashboards,) = [each for each in found.of("ConfigMap") if each["metadata"]["name"].endswith("-dashboards")]
    shown = {path.name: path.read_text(encoding="utf-8").strip() for path in (CHART / "dashboards").glob("*.json")}
    assert shown and dashboards["data"] == shown
