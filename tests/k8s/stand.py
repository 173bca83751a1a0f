"""Real servers behind the chart's Envoy and gateway, all with the chart's own arguments and configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.client.gateway.gateway_process import GatewayProcess, gateway_process
from tests.helm.chart import Rendered, merged, render
from tests.k8s import addresses
from tests.k8s.edge import Edge, edge
from tests.k8s.replica import Replica
from tests.k8s.values import STAND

SCRAPE_S = 2
_HEALTHY_WITHIN_S = 30.0


@dataclass(frozen=True)
class Stand:
    rendered: Rendered
    edge: Edge
    gateway: GatewayProcess
    replicas: list[Replica]

    @property
    def pods(self) -> Mapping[str, Mapping[str, str]]:
        """Of each component, addresses by name."""
        host, _, _ = self.gateway.address.rpartition(":")
        return {
            "server": {replica.name: replica.address for replica in self.replicas},
            "envoy": {"omni-envoy-0": self.edge.address},
            "gateway": {"omni-gateway-0": host},
        }

    def pages(self) -> dict[str, str]:
        """By component, of the first pod each: where its PodMonitor finds metrics, without a scheme."""
        found = {}
        for monitor in self.rendered.of("PodMonitor"):
            of = monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            (component,) = [
                each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "component"
            ]
            address = next(iter(self.pods[of].values()))
            found[component] = f"{address}:{self.rendered.port(of, endpoint['port'])}{endpoint['path']}"
        return found


@contextmanager
def stand(built: Path, folder: Path, replicas: int) -> Iterator[Stand]:
    """All of them ready."""
    rendered = render(_values(replicas))
    with ExitStack() as stack:
        servers = [addresses.of_server(number) for number in range(replicas)]
        proxy = stack.enter_context(edge(rendered, folder, servers))
        running = [Replica(rendered.pod("server"), built, folder, number) for number in range(replicas)]
        for replica in running:
            stack.callback(replica.close)
        for replica in running:
            replica.wait_until_ready()
        proxy.wait_for_healthy(replicas, _HEALTHY_WITHIN_S)
        gateway = stack.enter_context(gateway_process(proxy.url, *_gateway_arguments(rendered)))
        yield Stand(rendered, proxy, gateway, running)


def _values(replicas: int) -> Mapping[str, object]:
    changed = {
        "gateway": {"enabled": True},
        "server": {"replicas": replicas},
        "envoy": {"threads": 2},  # as in values.yaml
        "monitoring": {"podMonitor": {"interval": f"{SCRAPE_S}s"}},
    }
    return merged(STAND, changed)


def _gateway_arguments(rendered: Rendered) -> list[str]:
    (container,) = rendered.pod("gateway")["spec"]["containers"]
    return [argument.replace(addresses.ANYWHERE, addresses.OF_GATEWAY) for argument in container["args"]]
