"""For each alert: series on which it must fire, saying what, and series on which it must not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_DEPLOYMENT = 'namespace="talk", release="omni"'
_POD = f'{_DEPLOYMENT}, pod="omni-0"'
_HPA = 'namespace="talk", horizontalpodautoscaler="omni-stream-omni"'
DEPLOYMENT = {"namespace": "talk", "release": "omni"}
POD = {**DEPLOYMENT, "pod": "omni-0"}

Series = Mapping[str, str]  # a selector, and its values, one a minute, as promtool writes them


@dataclass(frozen=True)
class Case:
    """``at`` the time, ``alert`` fires with these ``labels`` besides its own, or (``None``) does not."""

    alert: str
    what: str
    at: str
    series: Series
    labels: Mapping[str, str] | None = None
    summary: str = ""
    description: str = ""


def first_sounds(in_time: int, all_of_them: float, bound: str = "1", minutes: int = 120) -> Series:
    name = "stream_omni_first_audio_seconds"
    mode = f'{_POD}, mode="speech_to_speech"'
    return {
        f'{name}_bucket{{{mode}, le="{bound}"}}': f"0+{in_time}x{minutes}",
        f"{name}_count{{{mode}}}": f"0+{all_of_them}x{minutes}",
    }


def turns(**a_minute: int) -> Series:
    """By outcome."""
    name, mode = "stream_omni_requests_total", 'mode="text_to_text"'
    return {f'{name}{{{_POD}, {mode}, outcome="{outcome}"}}': f"0+{count}x60" for outcome, count in a_minute.items()}


def streams(*by_pod: str, waiting: str = "0x60") -> Series:
    """What runs, of replicas omni-0, omni-1, ..."""
    found = {}
    for number, running in enumerate(by_pod):
        pod = f'{_DEPLOYMENT}, pod="omni-{number}"'
        found[f'stream_omni_streams_active{{{pod}, stage="stream_omni"}}'] = running
        found[f"stream_omni_streams_waiting{{{pod}}}"] = waiting
    return found


def up(component: str, values: str, pod: str = "omni-0") -> Series:
    labels = f'{_DEPLOYMENT}, pod="{pod}", app="stream-omni", component="{component}", job="omni", instance="{pod}:80"'
    return {f"up{{{labels}}}": values}


def autoscaler(desired: int, able: bool = True) -> Series:
    return {
        f"kube_horizontalpodautoscaler_status_desired_replicas{{{_HPA}}}": f"{desired}x60",
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{_HPA}}}": "4x60",
        f'kube_horizontalpodautoscaler_status_condition{{{_HPA}, condition="ScalingActive", status="false"}}': (
            f"{int(not able)}x60"
        ),
    }


def _slots(used: int, free: int) -> Series:
    name, stage = "stream_omni_kv_slots", 'stage="llm"'
    return {
        f'{name}{{{_POD}, {stage}, state="used"}}': f"{used}x60",
        f'{name}{{{_POD}, {stage}, state="free"}}': f"{free}x60",
    }


def _late_speech(in_time: int) -> Series:
    name = "stream_omni_realtime_factor"
    return {f'{name}_bucket{{{_POD}, le="1"}}': f"0+{in_time}x60", f"{name}_count{{{_POD}}}": "0+100x60"}


def _gaps(underruns: str) -> Series:
    return {
        f"stream_omni_audio_underruns_total{{{_POD}}}": underruns,
        f"stream_omni_audio_seconds_total{{{_POD}}}": "0+120x60",
    }


_BURN = "Spoken answers of talk/omni begin too late"
_FAST = (
    "90% of the spoken answers of the last 1h began after more than 1 s: 14.4 times what the objective of 95% "
    "allows, and the "
    "last 5m are no better."
)
_AGED = {f'stream_omni_first_audio_seconds_count{{{_POD}, mode="speech_to_speech"}}': "0+10x60 600x90"}

CASES = [
    Case("StreamOmniFirstAudioBurnFast", "nine of ten are late", "70m", first_sounds(1, 10), DEPLOYMENT, _BURN, _FAST),
    Case(
        "StreamOmniFirstAudioBurnFast",
        "the same, as Prometheus 3 writes the bucket",
        "70m",
        first_sounds(1, 10, bound="1.0"),
        DEPLOYMENT,
        _BURN,
        _FAST,
    ),
    Case("StreamOmniFirstAudioBurnFast", "one of ten is late", "70m", first_sounds(9, 10)),
    Case("StreamOmniFirstAudioBurnFast", "few turns, all late", "70m", first_sounds(0, 0.1)),
    Case("StreamOmniFirstAudioBurnFast", "nobody asks", "70m", first_sounds(0, 0)),
    Case(
        "StreamOmniFirstAudioBurnSlow",
        "four of ten are late",
        "70m",
        first_sounds(6, 10),
        DEPLOYMENT,
        _BURN,
        "40% of the spoken answers of the last 6h began after more than 1 s: 6 times what the objective of 95% "
        "allows, and "
        "the last 30m are no better.",
    ),
    Case("StreamOmniFirstAudioBurnSlow", "two of ten are late", "70m", first_sounds(8, 10)),
    Case("StreamOmniFirstAudioBurnSlow", "it was so, and nobody asks any more", "100m", first_sounds(0, 0) | _AGED),
    Case(
        "StreamOmniRealtimeFactorAboveOne",
        "a tenth of the answers is made too slowly",
        "20m",
        _late_speech(90),
        DEPLOYMENT,
        "Speech of talk/omni is made more slowly than it plays",
        "10% of the answers of the last 10 minutes took longer to make than to play (limit: 5 %); listeners hear gaps.",
    ),
    Case("StreamOmniRealtimeFactorAboveOne", "a fiftieth is", "20m", _late_speech(98)),
    Case(
        "StreamOmniAudioUnderruns",
        "two gaps in two minutes of sound",
        "25m",
        _gaps("0+2x60"),
        DEPLOYMENT,
        "Listeners of talk/omni hear gaps",
        "1.0 pieces of sound a minute of speech came after all before them had been played (limit: 0.5 a minute).",
    ),
    Case("StreamOmniAudioUnderruns", "one gap, once", "25m", _gaps("0x5 1x55")),
    Case(
        "StreamOmniTurnsFail",
        "a tenth fails",
        "20m",
        turns(ok=90, error=6, deadline=4),
        DEPLOYMENT,
        "Turns of talk/omni fail",
        "10% of the turns of the last 5 minutes ended with an error or at a deadline (limit: 2 %).",
    ),
    Case(
        "StreamOmniTurnsFail",
        "clients leave and ask wrongly",
        "20m",
        turns(ok=10, cancelled=80, invalid=90, rejected=50),
    ),
    Case(
        "StreamOmniTurnsFail",
        "one of a few, once",
        "20m",
        turns(ok=1, error=0) | {f'stream_omni_requests_total{{{_POD}, mode="unknown", outcome="error"}}': "0x16 1x40"},
    ),
    Case(
        "StreamOmniTurnsRefused",
        "a tenth finds no place",
        "20m",
        turns(ok=90) | {f'stream_omni_rejected_total{{{_POD}, reason="full"}}': "0+10x60"},
        DEPLOYMENT,
        "talk/omni has no room for its turns",
        "10% of the turns of the last 5 minutes were refused for want of a place (limit: 5 %).",
    ),
    Case(
        "StreamOmniTurnsRefused",
        "one key's quota is used up",
        "20m",
        turns(ok=90) | {f'stream_omni_rejected_total{{{_POD}, reason="quota"}}': "0+90x60"},
    ),
    Case(
        "StreamOmniNonFiniteOutput",
        "one turn",
        "20m",
        {f'stream_omni_nonfinite_total{{{_POD}, stage="llm"}}': "0x15 1x40"},
        {**DEPLOYMENT, "stage": "llm"},
        "The stage llm of talk/omni computes numbers that are not finite",
        "1 turns of the last 15 minutes ended because of it; what it gave was thrown away.",
    ),
    Case(
        "StreamOmniNonFiniteOutput",
        "long ago",
        "40m",
        {f'stream_omni_nonfinite_total{{{_POD}, stage="llm"}}': "0x5 1x40"},
    ),
    Case(
        "StreamOmniGatewayFails",
        "a tenth of the requests",
        "20m",
        {
            f'stream_omni_gateway_requests_total{{{_POD}, route="/v1/chat/completions", status="200"}}': "0+90x60",
            f'stream_omni_gateway_requests_total{{{_POD}, route="/v1/chat/completions", status="503"}}': "0+6x60",
            f'stream_omni_gateway_requests_total{{{_POD}, route="/v1/chat/completions", status="599"}}': "0+4x60",
        },
        DEPLOYMENT,
        "The gateway of talk/omni answers with errors",
        "10% of the requests of the last 5 minutes got a status of 500 or more, or were broken off (limit: 5 %).",
    ),
    Case(
        "StreamOmniGatewayFails",
        "clients' own mistakes",
        "20m",
        {
            f'stream_omni_gateway_requests_total{{{_POD}, route="/v1/chat/completions", status="200"}}': "0+10x60",
            f'stream_omni_gateway_requests_total{{{_POD}, route="/v1/chat/completions", status="429"}}': "0+90x60",
            f'stream_omni_gateway_requests_total{{{_POD}, route="/v1/chat/completions", status="499"}}': "0+90x60",
        },
    ),
    Case(
        "StreamOmniScaledAtMaximumWithWaiting",
        "three wait, four of four replicas",
        "20m",
        streams("8x60", waiting="3x60") | autoscaler(4),
        {"namespace": "talk"},
        "Turns of talk wait, and the autoscaler may not add replicas",
        "3 turns wait for a place while the number of replicas is at its maximum.",
    ),
    Case(
        "StreamOmniScaledAtMaximumWithWaiting",
        "three of four replicas",
        "20m",
        streams("8x60", waiting="3x60") | autoscaler(3),
    ),
    Case("StreamOmniScaledAtMaximumWithWaiting", "nobody waits", "20m", streams("8x60") | autoscaler(4)),
    Case(
        "StreamOmniAutoscalerMetricMissing",
        "one of two replicas tells nothing",
        "20m",
        streams("1x60") | up("server", "1x60") | up("server", "1x60", pod="omni-1"),
        {**DEPLOYMENT, "pod": "omni-1", "component": "server", "job": "omni", "instance": "omni-1:80"},
        "The number of replicas in talk is not adapted to the load",
        "The metric that the autoscaler needs is missing: the replica omni-1 does not tell its streams (value 1, a "
        "flag).",
    ),
    Case(
        "StreamOmniAutoscalerMetricMissing",
        "Kubernetes says so",
        "20m",
        streams("1x60") | up("server", "1x60") | autoscaler(2, able=False),
        {
            "namespace": "talk",
            "horizontalpodautoscaler": "omni-stream-omni",
            "condition": "ScalingActive",
            "status": "false",
        },
        "The number of replicas in talk is not adapted to the load",
        "The metric that the autoscaler needs is missing: the autoscaler omni-stream-omni says that it cannot scale "
        "(value 1, "
        "a flag).",
    ),
    Case(
        "StreamOmniAutoscalerMetricMissing",
        "all tell their streams",
        "20m",
        streams("1x60", "0x60") | up("server", "1x60") | up("server", "1x60", pod="omni-1") | autoscaler(2),
    ),
    Case(
        "StreamOmniSlotsNearlyFull",
        "15 of 16",
        "20m",
        _slots(15, 1),
        {**POD, "stage": "llm"},
        "The engine llm of talk/omni-0 has hardly a free slot",
        "93.75% of its slots have been used for 10 minutes (limit: 90 %).",
    ),
    Case("StreamOmniSlotsNearlyFull", "half", "20m", _slots(8, 8)),
    Case("StreamOmniSlotsNearlyFull", "an engine that died has none", "20m", _slots(0, 0)),
    Case(
        "StreamOmniLoadImbalance",
        "all streams on one of three",
        "30m",
        streams("9x60", "0x60", "0x60"),
        DEPLOYMENT,
        "One replica of talk/omni does much more than the others",
        "The busiest replica has 3.0 times the streams of the average one (limit: 1.5 times).",
    ),
    Case("StreamOmniLoadImbalance", "10, 9 and 11", "30m", streams("10x60", "9x60", "11x60")),
    Case("StreamOmniLoadImbalance", "one stream in all", "30m", streams("1x60", "0x60", "0x60")),
    Case("StreamOmniLoadImbalance", "one replica", "30m", streams("9x60")),
    Case(
        "StreamOmniReplicaNotReady",
        "for long",
        "20m",
        {f"stream_omni_ready{{{_POD}}}": "0x60"},
        POD,
        "The replica talk/omni-0 is not ready",
        "Its supervisor has said so for 10 minutes (value 0, 1 is ready): a stage does not answer, or it still starts.",
    ),
    Case("StreamOmniReplicaNotReady", "while it starts", "20m", {f"stream_omni_ready{{{_POD}}}": "0x5 1x60"}),
    Case(
        "StreamOmniStagesRecover",
        "four times",
        "40m",
        {f'stream_omni_recoveries_total{{{_POD}, what="vocoder"}}': "0x12 1x5 2x5 3x5 4x40"},
        {**POD, "what": "vocoder"},
        "vocoder of talk/omni-0 dies again and again",
        "It was brought back 4 times within 30 minutes (limit: 2 times).",
    ),
    Case(
        "StreamOmniStagesRecover",
        "once",
        "40m",
        {f'stream_omni_recoveries_total{{{_POD}, what="vocoder"}}': "0x20 1x40"},
    ),
    Case(
        "StreamOmniDrainTimeout",
        "two turns ran to the end, and the replica is gone",
        "12m",
        streams("5x5 2x3 _x20") | {f"stream_omni_drain_ratio{{{_POD}}}": "0x5 0.5 0.85 0.98 _x20"},
        POD,
        "The replica talk/omni-0 ends before its turns do",
        "2 turns still ran when half of the time to drain was over; those that do not finish in the rest are cut.",
    ),
    Case(
        "StreamOmniDrainTimeout",
        "all finish in time",
        "12m",
        streams("5x5 2 0x2 _x20") | {f"stream_omni_drain_ratio{{{_POD}}}": "0x5 0.5 0.85 0.98 _x20"},
    ),
    Case(
        "StreamOmniDrainTimeout",
        "it does not drain",
        "12m",
        streams("5x60") | {f"stream_omni_drain_ratio{{{_POD}}}": "0x60"},
    ),
    Case(
        "StreamOmniTargetDown",
        "a gateway",
        "20m",
        up("gateway", "1x5 0x60"),
        {**POD, "component": "gateway", "job": "omni", "instance": "omni-0:80"},
        "Prometheus cannot read gateway talk/omni-0",
        "omni-0:80 has not answered for 3 minutes (value 0, 1 is up).",
    ),
    Case("StreamOmniTargetDown", "for a moment", "20m", up("gateway", "1x15 0x1 1x40")),
    Case("StreamOmniTargetDown", "another program's", "20m", {'up{job="other", instance="x:80"}': "0x60"}),
    Case(
        "StreamOmniNoServer",
        "only a gateway",
        "20m",
        up("gateway", "1x60"),
        {},
        "Prometheus sees no Stream-Omni server at all",
        "No target with component=server has answered for 5 minutes (value 1, a flag): there is none, or the scrape "
        "configuration does not find it.",
    ),
    Case("StreamOmniNoServer", "one answers", "20m", up("server", "0x60") | up("server", "1x60", pod="omni-1")),
    Case(
        "StreamOmniWatchdog",
        "always",
        "1m",
        {},
        {},
        "Alerts of Stream-Omni reach you",
        "This alert always fires (value 1, a flag). Where it stops coming, Prometheus or Alertmanager is broken.",
    ),
]
