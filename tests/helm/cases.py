"""Values that the chart is tried with: each way to run it at least once."""

from __future__ import annotations

from typing import Any

import yaml

from tests.helm.chart import CHART, merged

CPU: dict[str, Any] = yaml.safe_load((CHART / "values-cpu.yaml").read_text(encoding="utf-8"))
_VOLUMES = {"storage": {"models": {"existingClaim": "models"}, "engines": {"existingClaim": "engines"}}}
GPU: dict[str, Any] = {
    "gpu": {"product": "NVIDIA-H100-80GB-HBM3", "runtimeClass": "nvidia"},
    "build": {"tensorrt": "10.14.1"},
    **_VOLUMES,
}
_SERVER_TLS = {"server": {"tls": {"existingSecret": "server-tls"}}}
_MUTUAL = merged(_SERVER_TLS, {"server": {"tls": {"clientCA": "clients-ca", "clientSecret": "inside-client"}}})
_WATCHED = {
    "monitoring": {
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    }
}
_KEYS = {
    "server": {"apiKeys": {"existingSecret": "server-keys"}},
    "gateway": {"apiKeys": {"existingSecret": "callers"}, "serverKey": {"existingSecret": "gateway-key"}},
}

CASES: dict[str, dict[str, Any]] = {
    "cpu": CPU,
    "gpu": GPU,
    "gpu-2": merged(GPU, {"build": {"profile": "gpu-2"}, "gpu": {"count": 2}}),
    "mig": merged(GPU, {"build": {"profile": "gpu-1"}, "gpu": {"mig": "3g.40gb"}}),
    "torch": merged(GPU, {"build": {"profile": "gpu-torch"}}),
    "volume": merged(
        GPU,
        {
            "served": {"from": "volume", "path": "8b/of-may"},
            "server": {"capacity": {"running": 12}, "drain": {"turnsSeconds": 125}},
        },
    ),
    "fetch": merged(GPU, {"fetch": {"enabled": True, "token": {"existingSecret": "hub"}}}),
    "hpa": merged(CPU, _WATCHED, {"autoscaling": {"mode": "hpa", "minReplicas": 2, "maxReplicas": 6}}),
    "keda": merged(
        CPU, _WATCHED, {"autoscaling": {"mode": "keda", "prometheusUrl": "http://prometheus.monitoring:9090"}}
    ),
    "tls": merged(
        CPU,
        _SERVER_TLS,
        {"envoy": {"tls": {"existingSecret": "edge-tls"}}, "gateway": {"tls": {"existingSecret": "web-tls"}}},
        _WATCHED,
    ),
    "mutual": merged(
        CPU,
        _MUTUAL,
        {
            "envoy": {"tls": {"existingSecret": "edge-tls", "clientCA": "clients-ca"}},
            "gateway": {"edgeTls": {"clientSecret": "gateway-client"}},
        },
    ),
    "mutual-without-edge": merged(CPU, _MUTUAL, {"edge": {"mode": "none"}}),
    "keys": merged(CPU, _KEYS),
    "gateway-api": merged(
        CPU,
        {
            "edge": {
                "mode": "gatewayApi",
                "gatewayApi": {"parentRefs": [{"name": "public"}], "hostnames": ["talk.example"]},
            }
        },
    ),
    "no-edge": merged(CPU, {"edge": {"mode": "none"}, "server": {"replicas": 3}}),
    "servers-alone": merged(
        CPU,
        {
            "edge": {"mode": "none"},
            "gateway": {"enabled": False},
            "tests": {"enabled": False},
            "networkPolicy": {"enabled": False},
            "serviceAccount": {"create": False},
            "topologySpread": {"enabled": False},
        },
    ),
    "everything-named": merged(
        CPU,
        {
            "fullnameOverride": "speech",
            "commonLabels": {"team": "7"},
            "imagePullSecrets": ["registry"],
            "image": {"digest": f"sha256:{'0' * 64}"},
            "server": {
                "traceEndpoint": "http://collector.observability:4318",
                "arguments": ["--probe-interval-s=5"],
                "environment": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                "podAnnotations": {"example.com/owner": "1"},
                "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "priorityClassName": "serving",
                "terminationGracePeriodSeconds": 600,
            },
            "gateway": {
                "image": {"tag": "gateway"},
                "aliases": ["whisper-1"],
                "notice": "Built with: Llama",
                "fetchPictures": True,
                "service": {"type": "LoadBalancer"},
            },
            "networkPolicy": {
                "clients": [{"cidr": "203.0.113.0/24"}, {"namespace": {"team": "7"}, "pods": {"role": "caller"}}]
            },
            "autoscaling": {"mode": "hpa"},
        },
    ),
}
