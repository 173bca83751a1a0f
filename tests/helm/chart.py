"""The chart, rendered by a real helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.helm import programs

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "stream-omni"
RELEASE, NAMESPACE = "talk", "speech"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is
Values = Mapping[str, Any]
_ESCAPED = {code: rf"\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}
Manifest = dict[str, Any]


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """What helm said in place of manifests."""


@dataclass(frozen=True)
class Rendered:
    objects: list[Manifest]

    def of(self, kind: str, component: str | None = None) -> list[Manifest]:
        return [
            each
            for each in self.objects
            if each["kind"] == kind and component in (None, component_of(each["metadata"]))
        ]

    def one(self, kind: str, component: str | None = None) -> Manifest:
        (found,) = self.of(kind, component)
        return found

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Of every workload: its component, and the pod as the cluster would get it (metadata, spec)."""
        for each in self.objects:
            if each["kind"] in ("Deployment", "Job"):
                template = each["spec"]["template"]
                yield component_of(template["metadata"]), template
            elif each["kind"] == "Pod":
                yield component_of(each["metadata"]), each

    def pod(self, component: str) -> Manifest:
        (found,) = [pod for name, pod in self.pods() if name == component]
        return found

    def port(self, component: str, name: str) -> int:
        (container,) = self.pod(component)["spec"]["containers"]
        (found,) = [port["containerPort"] for port in container["ports"] if port["name"] == name]
        return int(found)


def component_of(metadata: Manifest) -> str:
    return str(metadata["labels"]["app.kubernetes.io/component"])


def render(values: Values, helm: int = 4, kubernetes: str = "1.31", release: str = RELEASE) -> Rendered:
    """The same objects each time: who changes one copies it first. Raises Refused."""
    found = _template(as_yaml(values), helm, kubernetes, release)
    if isinstance(found, str):
        raise Refused(found)
    return found


@cache
def _template(values: str, helm: int, kubernetes: str, release: str) -> Rendered | str:
    """Or what was wrong."""
    options = ["--namespace", NAMESPACE, "--kube-version", kubernetes, "--values", "-"]
    command = [programs.helm(helm), "template", release, CHART, *options]
    ended = subprocess.run(command, input=values, capture_output=True, text=True)
    if ended.returncode:
        return ended.stderr
    return Rendered([each for each in yaml.load_all(ended.stdout, _LOADER) if each])


def as_yaml(values: Values) -> str:
    """JSON, for PyYAML leaves a word like y without quotes, which Helm takes for a truth value. Characters over 16 bits
    as they are, since YAML knows no pairs of escapes; as escapes those that end a line in YAML and not in JSON, and
    control characters that JSON lets in and YAML does not."""
    return json.dumps(values, ensure_ascii=False).translate(_ESCAPED)


def lint(values: Values, helm: int) -> str:
    """What helm lint --strict finds; empty: nothing."""
    command = [programs.helm(helm), "lint", "--strict", "--quiet", CHART, "--values", "-"]
    ended = subprocess.run(command, input=as_yaml(values), capture_output=True, text=True)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def merged(*parts: Values) -> dict[str, Any]:
    """Later parts go before earlier ones, as helm has it."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            old = whole.get(key)
            whole[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return whole
