"""Recorded series: what alerts and dashboards ask for again and again, and what autoscalers read."""

from __future__ import annotations

from stream_omni.serving.metrics import (
    AUDIO_SECONDS,
    AUDIO_UNDERRUNS,
    DRAIN_RATIO,
    FIRST_AUDIO_SECONDS,
    FRONT_DOOR,
    KV_SLOTS,
    REALTIME_FACTOR,
    REJECTED,
    REQUESTS,
    STREAMS_ACTIVE,
    STREAMS_CAPACITY,
    STREAMS_WAITING,
)
from stream_omni_monitoring import gateway_names as gateway
from stream_omni_monitoring.objectives import WINDOWS, Objective
from stream_omni_monitoring.queries import Scope, is_one_of
from stream_omni_monitoring.rules import Group, Record
from stream_omni_monitoring.targets import DEPLOYMENT, REPLICA

ALL = Scope("", "5m")
_TEN_MINUTES = Scope("", "10m")

DOOR = f'stage="{FRONT_DOOR}"'
_JUDGED = is_one_of("outcome", "ok", "cancelled", "deadline", "error")  # turns that were let in
FAILED_TURNS = is_one_of("outcome", "deadline", "error")
_FOR_WANT_OF_ROOM = is_one_of("reason", "full", "waited", "engine_full")
_LATE_DRAIN = 0.5  # of its time, of which the chart gives 30 s by default: the rest must be seen by a scrape

DEMAND = "stream_omni:demand:streams"
CAPACITY = "stream_omni:capacity:streams"
KV_USED = "stream_omni:kv_slots_used:ratio"
DRAIN_LATE = "stream_omni:drain_late:streams"
REALTIME_LATE = "stream_omni:realtime_factor_above_one:ratio_rate10m"
UNDERRUNS = "stream_omni:audio_underruns:per_audio_minute_rate10m"
FAILED = "stream_omni:turns_failed:ratio_rate5m"
REFUSED = "stream_omni:turns_refused:ratio_rate5m"
GATEWAY_FAILED = "stream_omni:gateway_failed:ratio_rate5m"


def late(window: str) -> str:
    """The share of first sounds after the objective's time."""
    return f"stream_omni:first_audio_late:ratio_rate{window}"


def groups(objective: Objective) -> list[Group]:
    return [
        Group("stream-omni.first-audio", "30s", _first_audio(objective)),
        Group("stream-omni.turns", "15s", _turns()),
    ]


def _first_audio(objective: Objective) -> list[Record]:
    return [
        Record(late(window), Scope("", window).share_above(objective.first_audio_s, FIRST_AUDIO_SECONDS, DEPLOYMENT))
        for window in WINDOWS
    ]


def _turns() -> list[Record]:
    judged = ALL.rate(REQUESTS, _JUDGED, by=DEPLOYMENT)
    refused = ALL.rate(REJECTED, _FOR_WANT_OF_ROOM, by=DEPLOYMENT)
    sound = _TEN_MINUTES.rate(AUDIO_SECONDS, by=DEPLOYMENT)
    answered = ALL.rate(gateway.REQUESTS, by=DEPLOYMENT)
    unanswered = ALL.rate(gateway.REQUESTS, 'status=~"5.."', by=DEPLOYMENT)
    active, waiting = ALL.sum(STREAMS_ACTIVE, DOOR, by=REPLICA), ALL.sum(STREAMS_WAITING, by=REPLICA)
    used, slots = ALL.sum(KV_SLOTS, 'state="used"', by=f"{REPLICA}, stage"), ALL.sum(KV_SLOTS, by=f"{REPLICA}, stage")
    return [
        Record(DEMAND, f"{active} + {waiting}"),
        Record(CAPACITY, ALL.sum(STREAMS_CAPACITY, DOOR, by=REPLICA)),
        Record(KV_USED, f"{used} / {slots}"),
        Record(DRAIN_LATE, f"{active} and {ALL.sum(DRAIN_RATIO, by=REPLICA)} > {_LATE_DRAIN}"),
        Record(REALTIME_LATE, _TEN_MINUTES.share_above(1.0, REALTIME_FACTOR, DEPLOYMENT)),
        Record(UNDERRUNS, f"60 * {_TEN_MINUTES.rate(AUDIO_UNDERRUNS, by=DEPLOYMENT)} / {sound}"),
        Record(FAILED, f"{ALL.rate(REQUESTS, FAILED_TURNS, by=DEPLOYMENT)} / {judged}"),
        Record(REFUSED, f"{refused} / ({judged} + {refused})"),
        Record(GATEWAY_FAILED, f"{unanswered} / {answered}"),
    ]
