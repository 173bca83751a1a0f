"""What the stand changes of the chart's configuration of Envoy, and that Envoy takes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tests.helm.chart import Rendered, merged, render
from tests.k8s import addresses
from tests.k8s.edge import configuration
from tests.k8s.values import STAND

SERVERS = [addresses.of_server(number) for number in range(3)]


def test_only_addresses_differ(rendered: Rendered) -> None:
    text = rendered.one("ConfigMap", "envoy")["data"]["envoy.yaml"]
    moved = json.dumps(configuration(rendered, addresses.LOOPBACK, [SERVERS[0]]), sort_keys=True)
    (named,) = [line for line in text.splitlines() if "server-headless" in line]
    name = named.partition("address: ")[2].rpartition("address: ")[2].partition(",")[0]
    as_written = text.replace(name, SERVERS[0]).replace(addresses.ANYWHERE, addresses.LOOPBACK)
    assert moved == json.dumps(yaml.safe_load(as_written), sort_keys=True)


def test_envoy_takes_what_the_chart_writes(tmp_path: Path) -> None:
    values = {"plain": STAND, "few turns": merged(STAND, {"envoy": {"maxTurns": 1}})}
    envoy = Path(sys.executable).with_name("envoy")
    for name, each in values.items():
        file = tmp_path / "envoy.json"
        file.write_text(json.dumps(configuration(render(each), addresses.of_edge(9), SERVERS)))
        ended = subprocess.run([envoy, "--mode", "validate", "-c", file], capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, f"{name}: {ended.stderr}"
