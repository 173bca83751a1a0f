"""The autoscaler's decisions, against the examples and rules of Kubernetes' documentation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.k8s.autoscaler import Autoscaler, NoMetric, Pod, chosen, proposed_for_pods, proposed_for_total

DEFAULTS: dict[str, Any] = {  # "Default Behavior"
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15},
            {"type": "Pods", "value": 4, "periodSeconds": 15},
        ],
        "selectPolicy": "Max",
    },
}
FOUR_OR_TENTH = [
    {"type": "Pods", "value": 4, "periodSeconds": 60},
    {"type": "Percent", "value": 10, "periodSeconds": 60},
]


def autoscaler(scale_up: dict[str, Any] | None = None, scale_down: dict[str, Any] | None = None) -> Autoscaler:
    """The defaults, but for what is given."""
    behaviour = {
        "scaleUp": DEFAULTS["scaleUp"] | (scale_up or {}),
        "scaleDown": DEFAULTS["scaleDown"] | (scale_down or {}),
    }
    return Autoscaler({"minReplicas": 1, "maxReplicas": 1000, "behavior": behaviour})


def pods(count: int) -> list[Pod]:
    return [Pod(f"pod-{number}") for number in range(count)]


def values(*of_each: float) -> dict[str, float]:
    return {f"pod-{number}": value for number, value in enumerate(of_each)}


@pytest.mark.parametrize(
    ("milli", "replicas"), [(200, 8), (50, 2), (110, 4), (90, 4), (111, 5), (89, 4), (74, 3), (100, 4)]
)
def test_replicas_follow_the_ratio_unless_it_is_close_to_one(milli: float, replicas: int) -> None:
    assert proposed_for_pods(values(*[milli] * 4), pods(4), 4, 100) == replicas
    assert proposed_for_total(4 * milli, 4, 100) == replicas


def test_the_average_counts_not_the_fullest() -> None:
    assert proposed_for_pods(values(12, 0, 0), pods(3), 3, 4) == 3


def test_pods_that_end_are_ignored() -> None:
    ending = [*pods(2), Pod("pod-2", is_ending=True)]
    assert proposed_for_pods(values(8, 8, 99), ending, 2, 4) == 4


def test_of_a_pod_without_metrics_nothing_is_assumed_when_growing_and_all_when_shrinking() -> None:
    assert proposed_for_pods(values(8, 8), pods(3), 3, 4) == 4  # (8 + 8 + 0) / 4; without it six
    assert proposed_for_pods(values(1, 1), pods(3), 3, 4) == 2  # (1 + 1 + 4) / 4; without it one
    with pytest.raises(NoMetric):
        proposed_for_pods({}, pods(2), 2, 4)


def test_nothing_happens_where_the_careful_ratio_is_close_to_one_or_turns_round() -> None:
    assert proposed_for_pods(values(6, 6), pods(3), 3, 4) == 3  # 1.5 becomes 1.0
    assert proposed_for_pods(values(5, 5), pods(4), 4, 4) == 4  # 1.25 becomes 0.63


def test_pending_pods_take_nothing_when_growing_and_do_not_count_otherwise() -> None:
    starting = [*pods(1), Pod("pod-1", is_pending=True)]
    assert proposed_for_pods(values(12), starting, 2, 4) == 3  # (12 + 0) / 4
    assert proposed_for_pods(values(6), starting, 2, 4) == 2  # 1.5 becomes 0.75
    assert proposed_for_pods(values(2), starting, 2, 4) == 1


def test_of_several_metrics_the_largest_counts_and_a_lost_one_forbids_shrinking() -> None:
    assert chosen([2, 5], current=3) == 5
    assert chosen([2, None], current=3) == 3
    assert chosen([5, None], current=3) == 5
    assert chosen([None, None], current=3) == 3


def test_from_80_to_10_the_documentations_steps_are_taken() -> None:
    scaler = autoscaler(scale_down={"stabilizationWindowSeconds": 0, "policies": FOUR_OR_TENTH})
    found = [80]
    for minute in range(1, 20):
        found.append(scaler.decide(60.0 * minute, found[-1], 10))
    assert found[:3] == [80, 72, 64]  # 8, and a tenth of 72 is 7.2, rounded up to 8
    below_40 = [replicas for replicas in found if replicas <= 40]
    assert all(before - after == 4 for before, after in pairwise(below_40) if after > 10)
    assert found[-1] == 10


def test_a_policy_holds_for_its_period_however_often_one_looks() -> None:
    scaler = autoscaler(scale_down={"stabilizationWindowSeconds": 0, "policies": FOUR_OR_TENTH[:1]})
    found = [20]
    for look in range(1, 9):
        found.append(scaler.decide(15.0 * look, found[-1], 1))
    assert found == [20, 16, 16, 16, 16, 12, 12, 12, 12]


def test_min_takes_the_smaller_change_and_disabled_none() -> None:
    policies = [
        {"type": "Percent", "value": 10, "periodSeconds": 60},
        {"type": "Pods", "value": 5, "periodSeconds": 60},
    ]
    quick = {"stabilizationWindowSeconds": 0, "policies": policies}
    assert autoscaler(scale_down=quick | {"selectPolicy": "Min"}).decide(60.0, 100, 10) == 95
    assert autoscaler(scale_down=quick).decide(60.0, 100, 10) == 90
    assert autoscaler(scale_down=quick | {"selectPolicy": "Disabled"}).decide(60.0, 100, 10) == 100


def test_by_default_four_or_all_are_added_every_15_s() -> None:
    scaler, found = autoscaler(), [1]
    for look in range(1, 6):
        found.append(scaler.decide(15.0 * look, found[-1], 60))
    assert found == [1, 5, 10, 20, 40, 60]


def test_down_goes_only_to_the_most_of_the_last_five_minutes() -> None:
    scaler, found = autoscaler(), [10]
    for look, proposed in enumerate([10, 4, 4, 7, *[4] * 30], 1):
        found.append(scaler.decide(15.0 * look, found[-1], proposed))
    assert found[:21] == [10] * 21  # the first proposal of ten is 300 s old at the 21st look
    assert found[21] == found[23] == 7  # the fourth look's
    assert found[-1] == 4


def test_a_proposal_that_wavers_is_not_followed_down_and_up_again() -> None:
    scaler, found = autoscaler(), [3]
    for look in range(1, 60):
        found.append(scaler.decide(15.0 * look, found[-1], 3 if look % 2 else 2))
    assert set(found) == {3}


def test_time_may_pass_faster() -> None:
    behaviour = autoscaler().spec
    slow, fast = Autoscaler(behaviour), Autoscaler(behaviour, speed=10)
    proposals = [2, 8, 8, 3, 3, *[1] * 40]
    found: dict[str, list[int]] = {"slow": [2], "fast": [2]}
    for look, proposed in enumerate(proposals, 1):
        found["slow"].append(slow.decide(15.0 * look, found["slow"][-1], proposed))
        found["fast"].append(fast.decide(1.5 * look, found["fast"][-1], proposed))
    assert found["slow"] == found["fast"] and found["slow"][-1] == 1 and max(found["slow"]) == 8


def test_it_stays_within_its_bounds() -> None:
    scaler = Autoscaler({"minReplicas": 2, "maxReplicas": 4, "behavior": DEFAULTS})
    assert scaler.decide(0.0, 3, 9) == 4
    assert [scaler.decide(1000.0, 4, 1), scaler.decide(2000.0, 4, 1)] == [2, 2]
