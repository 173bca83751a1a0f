"""What the stand changes of the chart's configuration of Envoy."""

from __future__ import annotations

import json

import yaml

from tests.helm.chart import Rendered
from tests.k8s import addresses
from tests.k8s.edge import configuration

SERVER = addresses.of_server(0)


def test_only_addresses_differ(rendered: Rendered) -> None:
    text = rendered.one("ConfigMap", "envoy")["data"]["envoy.yaml"]
    moved = json.dumps(configuration(rendered, addresses.LOOPBACK, [SERVER]), sort_keys=True)
    (named,) = [line for line in text.splitlines() if "server-headless" in line]
    name = named.partition("address: ")[2].rpartition("address: ")[2].partition(",")[0]
    as_written = text.replace(name, SERVER).replace(addresses.ANYWHERE, addresses.LOOPBACK)
    assert moved == json.dumps(yaml.safe_load(as_written), sort_keys=True)
