"""What Kubernetes' HorizontalPodAutoscaler decides, after its documentation ("Horizontal Pod Autoscaling": algorithm
details, configurable scaling behavior) and, where that says nothing, after what its controller does."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 0.1  # of the ratio, within which nothing is scaled
SYNC_S = 15.0  # between two decisions


class NoMetric(Exception):  # noqa: N818 (an answer, not a fault)
    """Of none of the pods that count is the metric known."""


@dataclass(frozen=True)
class Pod:
    name: str
    is_pending: bool = False  # no container runs yet
    is_ending: bool = False  # it has a deletion timestamp


def proposed_for_pods(values: Mapping[str, float], pods: Collection[Pod], current: int, target: float) -> int:
    """Replicas for a metric of type Pods with an AverageValue. ``values`` by pod; raises NoMetric."""
    counted = [pod for pod in pods if not pod.is_ending]
    unready = [pod.name for pod in counted if pod.is_pending]
    known = {pod.name: values[pod.name] for pod in counted if not pod.is_pending and pod.name in values}
    missing = [pod.name for pod in counted if not pod.is_pending and pod.name not in values]
    if not known:
        raise NoMetric
    ratio = _ratio(known, target)
    grows_beside_unready = bool(unready) and ratio > 1
    if not missing and not grows_beside_unready:
        return current if _is_close(ratio) else _ceil(ratio * len(known))
    # More careful: who is unknown takes nothing where replicas are to be added, and its full share where some are to go
    assumed = dict.fromkeys(missing, target if ratio < 1 else 0.0)
    if grows_beside_unready:
        assumed |= dict.fromkeys(unready, 0.0)
    everybody = known | assumed
    careful = _ratio(everybody, target)
    proposed = _ceil(careful * len(everybody))
    reverses = (ratio < 1 < careful) or (careful < 1 < ratio)
    against = (careful < 1 and proposed > current) or (careful > 1 and proposed < current)
    return current if _is_close(careful) or reverses or against else proposed


def proposed_for_total(total: float, current: int, target: float) -> int:
    """Replicas for a metric of type External with an AverageValue, which is what KEDA makes of its triggers."""
    return current if _is_close(total / (target * current)) else _ceil(total / target)


def chosen(proposals: Sequence[int | None], current: int) -> int:
    """Of all metrics: the most. None: that one could not be had, and then nothing is taken away."""
    known = [proposal for proposal in proposals if proposal is not None]
    most = max(known, default=current)
    return current if most < current and len(known) < len(proposals) else most


@dataclass
class Autoscaler:
    """The limits of change of one autoscaler, ``spec`` of its object. ``speed``: all its windows and periods pass so
    many times as fast. Seconds are those of the caller's clock."""

    spec: Mapping[str, Any]
    speed: float = 1.0
    _wanted: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, now_s: float, current: int, proposed: int) -> int:
        """Replicas from now on."""
        allowed = self._limited(now_s, current, self._stabilised(now_s, current, proposed))
        allowed = min(max(allowed, self.spec["minReplicas"]), self.spec["maxReplicas"])
        if allowed != current:
            self._changes.append((now_s, allowed - current))
        return allowed

    def _stabilised(self, now_s: float, current: int, proposed: int) -> int:
        """Up to the least, and down to the most, that was proposed within the directions' windows."""
        self._wanted.append((now_s, proposed))
        least = min(wanted for at_s, wanted in self._wanted if self._is_within(at_s, now_s, self._window_s("scaleUp")))
        most = max(wanted for at_s, wanted in self._wanted if self._is_within(at_s, now_s, self._window_s("scaleDown")))
        return min(max(current, least), most)

    def _limited(self, now_s: float, current: int, wanted: int) -> int:
        if wanted > current:
            return min(wanted, max(current, self._limit(now_s, current, "scaleUp")))
        if wanted < current:
            return max(wanted, min(current, self._limit(now_s, current, "scaleDown")))
        return current

    def _limit(self, now_s: float, current: int, direction: str) -> int:
        """What the policies of a direction allow, counted from the replicas at the beginning of their periods."""
        rules, up = self.spec["behavior"][direction], direction == "scaleUp"
        select = rules.get("selectPolicy", "Max")
        if select == "Disabled":
            return current
        limits = []
        for policy in rules["policies"]:
            period_s = policy["periodSeconds"] / self.speed
            before = current - sum(change for at_s, change in self._changes if at_s > now_s - period_s)
            change = policy["value"] if policy["type"] == "Pods" else before * policy["value"] / 100
            limits.append(_ceil(before + change) if up else math.floor(before - change))
        return max(limits) if up == (select == "Max") else min(limits)

    def _window_s(self, direction: str) -> float:
        return float(self.spec["behavior"][direction]["stabilizationWindowSeconds"]) / self.speed

    @staticmethod
    def _is_within(at_s: float, now_s: float, window_s: float) -> bool:
        return at_s == now_s or at_s > now_s - window_s


def _ratio(values: Mapping[str, float], target: float) -> float:
    return sum(values.values()) / len(values) / target


def _is_close(ratio: float) -> bool:
    return abs(1 - ratio) <= TOLERANCE + 1e-9


def _ceil(replicas: float) -> int:
    return math.ceil(replicas - 1e-9)  # 3 x 0.1 / 0.1 is 3
