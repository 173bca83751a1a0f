"""The alerts: what somebody must know, when, and how urgently. docs/runbooks has a page for each."""

from __future__ import annotations

from stream_omni.serving.metrics import (
    FIRST_AUDIO_SECONDS,
    NONFINITE,
    READY,
    RECOVERIES,
    REQUESTS,
    STREAMS_WAITING,
)
from stream_omni_monitoring import recording as recorded
from stream_omni_monitoring.foreign_names import HPA_CONDITION, HPA_DESIRED, HPA_MAXIMUM
from stream_omni_monitoring.objectives import FAST, SLOW, Burn, Objective
from stream_omni_monitoring.recording import ALL
from stream_omni_monitoring.rules import Alert, Group, Severity
from stream_omni_monitoring.targets import APP, DEPLOYMENT, REPLICA, SERVER

_WHERE = "{{ $labels.namespace }}/{{ $labels.release }}"
_POD = "{{ $labels.namespace }}/{{ $labels.pod }}"
_PERCENT = "{{ $value | humanizePercentage }}"
_ENOUGH_TURNS = 20  # in the long window: of three answers, one slow one says nothing
_OF_OURS = 'horizontalpodautoscaler=~".*stream-omni.*"'


def groups(objective: Objective) -> list[Group]:
    alerts = [*_promises(objective), *_turns(), *_scaling(), *_replicas()]
    return [Group("stream-omni.alerts", "15s", alerts)]


def _promises(objective: Objective) -> list[Alert]:
    return [
        _burn(FAST, objective, "2m", "critical"),
        _burn(SLOW, objective, "15m", "warning"),
        Alert(
            "StreamOmniRealtimeFactorAboveOne",
            f"{recorded.REALTIME_LATE} > 0.05",
            "5m",
            "critical",
            f"Speech of {_WHERE} is made more slowly than it plays",
            f"{_PERCENT} of the answers of the last 10 minutes took longer to make than to play (limit: 5 %); "
            "listeners hear gaps.",
            "realtime-factor",
        ),
        Alert(
            "StreamOmniAudioUnderruns",
            f"{recorded.UNDERRUNS} > 0.5",
            "10m",
            "warning",
            f"Listeners of {_WHERE} hear gaps",
            '{{ $value | printf "%.1f" }} pieces of sound a minute of speech came after all before them had been '
            "played "
            "(limit: 0.5 a minute).",
            "audio-underruns",
        ),
    ]


def _burn(burn: Burn, objective: Objective, held: str, severity: Severity) -> Alert:
    limit = round(burn.rate * objective.budget, 6)
    enough = f"sum by ({DEPLOYMENT}) (increase({ALL.of(FIRST_AUDIO_SECONDS, part='_count')}[{burn.long}]))"
    return Alert(
        f"StreamOmniFirstAudioBurn{burn.name.capitalize()}",
        f"{recorded.late(burn.long)} > {limit:g} and {recorded.late(burn.short)} > {limit:g} and {enough} > "
        f"{_ENOUGH_TURNS}",
        held,
        severity,
        f"Spoken answers of {_WHERE} begin too late",
        f"{_PERCENT} of the spoken answers of the last {burn.long} began after more than "
        f"{objective.first_audio_s:g} s: "
        f"{burn.rate:g} times what the objective of {objective.share:.0%} allows, and the last {burn.short} are no "
        f"better.",
        "first-audio-burn",
    )


def _turns() -> list[Alert]:
    failures = f"sum by ({DEPLOYMENT}) (increase({ALL.of(REQUESTS, recorded.FAILED_TURNS)}[5m]))"
    return [
        Alert(
            "StreamOmniTurnsFail",
            f"{recorded.FAILED} > 0.02 and {failures} >= 3",
            "5m",
            "critical",
            f"Turns of {_WHERE} fail",
            f"{_PERCENT} of the turns of the last 5 minutes ended with an error or at a deadline (limit: 2 %).",
            "turns-fail",
        ),
        Alert(
            "StreamOmniTurnsRefused",
            f"{recorded.REFUSED} > 0.05",
            "5m",
            "warning",
            f"{_WHERE} has no room for its turns",
            f"{_PERCENT} of the turns of the last 5 minutes were refused for want of a place (limit: 5 %).",
            "turns-refused",
        ),
        Alert(
            "StreamOmniNonFiniteOutput",
            f"sum by ({DEPLOYMENT}, stage) (increase({ALL.of(NONFINITE)}[15m])) > 0",
            "0m",
            "critical",
            f"The stage {{{{ $labels.stage }}}} of {_WHERE} computes numbers that are not finite",
            '{{ $value | printf "%.0f" }} turns of the last 15 minutes ended because of it; what it gave was thrown '
            "away.",
            "non-finite-output",
        ),
        Alert(
            "StreamOmniGatewayFails",
            f"{recorded.GATEWAY_FAILED} > 0.05",
            "5m",
            "warning",
            f"The gateway of {_WHERE} answers with errors",
            f"{_PERCENT} of the requests of the last 5 minutes got a status of 500 or more, or were broken off "
            f"(limit: 5 %).",
            "gateway-fails",
        ),
    ]


def _scaling() -> list[Alert]:
    at_maximum = f"({HPA_DESIRED}{{{_OF_OURS}}} >= on (namespace, horizontalpodautoscaler) {HPA_MAXIMUM}{{{_OF_OURS}}})"
    smooth = f"avg_over_time({recorded.DEMAND}[10m])"
    mean = f"avg by ({DEPLOYMENT}) ({smooth})"
    return [
        Alert(
            "StreamOmniScaledAtMaximumWithWaiting",
            f"sum by (namespace) ({ALL.of(STREAMS_WAITING)}) > 0 and on (namespace) {at_maximum}",
            "5m",
            "warning",
            "Turns of {{ $labels.namespace }} wait, and the autoscaler may not add replicas",
            '{{ $value | printf "%.0f" }} turns wait for a place while the number of replicas is at its maximum.',
            "scaled-at-maximum",
        ),
        Alert(
            "StreamOmniAutoscalerMetricMissing",
            f'up{{{APP}, component="{SERVER}"}} == 1 unless on ({REPLICA}) {recorded.DEMAND} '
            f'or {HPA_CONDITION}{{{_OF_OURS}, condition="ScalingActive", status="false"}} == 1',
            "10m",
            "warning",
            "The number of replicas in {{ $labels.namespace }} is not adapted to the load",
            "The metric that the autoscaler needs is missing: {{ with $labels.pod }}the replica {{ . }} does not "
            "tell its "
            "streams{{ else }}the autoscaler {{ $labels.horizontalpodautoscaler }} says that it cannot scale{{ end }} "
            "(value {{ $value }}, a flag).",
            "autoscaler-metric-missing",
        ),
        Alert(
            "StreamOmniSlotsNearlyFull",
            f"{recorded.KV_USED} > 0.9",
            "10m",
            "warning",
            f"The engine {{{{ $labels.stage }}}} of {_POD} has hardly a free slot",
            f"{_PERCENT} of its slots have been used for 10 minutes (limit: 90 %).",
            "slots-nearly-full",
        ),
        Alert(
            "StreamOmniLoadImbalance",
            f"max by ({DEPLOYMENT}) ({smooth}) / {mean} > 1.5 and {mean} > 1",
            "10m",
            "warning",
            f"One replica of {_WHERE} does much more than the others",
            'The busiest replica has {{ $value | printf "%.1f" }} times the streams of the average one (limit: 1.5 '
            "times).",
            "load-imbalance",
        ),
    ]


def _replicas() -> list[Alert]:
    return [
        Alert(
            "StreamOmniReplicaNotReady",
            f"min by ({REPLICA}) ({ALL.of(READY)}) == 0",
            "10m",
            "warning",
            f"The replica {_POD} is not ready",
            "Its supervisor has said so for 10 minutes (value {{ $value }}, 1 is ready): a stage does not answer, "
            "or it "
            "still starts.",
            "replica-not-ready",
        ),
        Alert(
            "StreamOmniStagesRecover",
            f"sum by ({REPLICA}, what) (increase({ALL.of(RECOVERIES)}[30m])) >= 3",
            "0m",
            "warning",
            f"{{{{ $labels.what }}}} of {_POD} dies again and again",
            'It was brought back {{ $value | printf "%.0f" }} times within 30 minutes (limit: 2 times).',
            "stages-recover",
        ),
        Alert(
            "StreamOmniDrainTimeout",
            f"max_over_time({recorded.DRAIN_LATE}[10m]) > 0",
            "0m",
            "warning",
            f"The replica {_POD} ends before its turns do",
            '{{ $value | printf "%.0f" }} turns still ran when half of the time to drain was over; those that do '
            "not finish "
            "in the rest are cut.",
            "drain-timeout",
        ),
        Alert(
            "StreamOmniTargetDown",
            f"up{{{APP}}} == 0",
            "3m",
            "critical",
            "Prometheus cannot read {{ $labels.component }} {{ $labels.namespace }}/{{ $labels.pod }}",
            "{{ $labels.instance }} has not answered for 3 minutes (value {{ $value }}, 1 is up).",
            "target-down",
        ),
        Alert(
            "StreamOmniNoServer",
            f'absent(up{{{APP}, component="{SERVER}"}} == 1)',
            "5m",
            "critical",
            "Prometheus sees no Stream-Omni server at all",
            "No target with component=server has answered for 5 minutes (value {{ $value }}, a flag): there is "
            "none, or the "
            "scrape configuration does not find it.",
            "target-down",
        ),
        Alert(
            "StreamOmniWatchdog",
            "vector(1)",
            "0m",
            "none",
            "Alerts of Stream-Omni reach you",
            "This alert always fires (value {{ $value }}, a flag). Where it stops coming, Prometheus or "
            "Alertmanager is broken.",
            "watchdog",
        ),
    ]
