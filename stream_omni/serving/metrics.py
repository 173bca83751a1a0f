"""Every metric of the product: its name, kind, help, labels with all their values, and buckets. Nothing else names one.

Dashboards, rules and tests read this table. :mod:`stream_omni.serving.triton_metrics` exports ``METRICS`` on Triton's
page, :mod:`stream_omni.serving.supervisor_page` exports ``SUPERVISOR_METRICS`` on the admin port. Labels are bounded:
never a turn's number, never words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["counter", "gauge", "histogram"]

FRONT_DOOR = "stream_omni"  # also the stage whose process sets the metrics without a stage
ENGINES = ("llm", "speech_top")
CALLED_STAGES = ("speech_tokenizer", "vision_encoder", "speech_bottom", "cosyvoice_flow", "vocoder")
MODES = ("text_to_text", "text_to_speech", "speech_to_text", "speech_to_speech")
UNKNOWN_MODE = "unknown"  # of a turn that ended before its request was read
OUTCOMES = ("ok", "cancelled", "rejected", "invalid", "unauthenticated", "deadline", "error")
SLOT_STATES = ("used", "free")
UNARY_DOORS = ("prepare", "answer")  # the steps of the ensemble `turn`
TRITON = "tritonserver"  # the server as a whole, among what the supervisor mends
MENDED = (FRONT_DOOR, *ENGINES, *CALLED_STAGES, *UNARY_DOORS, TRITON)
# What a turn passes on its way to the first sound, one after the other; `request` is the front door's own work
FIRST_AUDIO_PARTS = (
    "admission", "request", "speech_tokenizer", "speech_bottom", "vision_encoder", "llm", "speech_top", "token2wav"
)  # fmt: skip

_FIRST_S = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_WORK_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
_RELEASE_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
_FACTORS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 4.0)
_BATCHES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Metric:
    """``labels``: every value that each may have; ``buckets``: upper bounds of a histogram."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """Whose processes set it."""
        return self.labels.get("stage", (FRONT_DOOR,))


_HOLDERS = {"stage": (FRONT_DOOR, *ENGINES)}
_ALL_STAGES = {"stage": (FRONT_DOOR, *ENGINES, *CALLED_STAGES)}
_BY_MODE = {"mode": MODES}

STREAMS_ACTIVE = Metric("stream_omni_streams_active", "gauge", "Turns that hold a place in the stage", _HOLDERS)
STREAMS_CAPACITY = Metric("stream_omni_streams_capacity", "gauge", "Places for turns in the stage", _HOLDERS)
STREAMS_WAITING = Metric("stream_omni_streams_waiting", "gauge", "Turns that wait for a place at the front door")
REQUESTS = Metric(
    "stream_omni_requests_total",
    "counter",
    "Streamed turns that are over, by mode and how they ended",
    {"mode": (*MODES, UNKNOWN_MODE), "outcome": OUTCOMES},
)
REJECTED = Metric(
    "stream_omni_rejected_total",
    "counter",
    "Turns refused with a retry hint: no room to wait in, waited in vain, a key's quota, an engine without a slot, a "
    "server that ends",
    {"reason": ("full", "waited", "quota", "engine_full", "draining")},
)
FIRST_TRANSCRIPT_SECONDS = Metric(
    "stream_omni_first_transcript_seconds",
    "histogram",
    "From a turn's arrival to the transcript of its question",
    {"mode": ("speech_to_text", "speech_to_speech")},
    _FIRST_S,
)
FIRST_TEXT_SECONDS = Metric(
    "stream_omni_first_text_seconds", "histogram", "From a turn's arrival to its first text", _BY_MODE, _FIRST_S
)
FIRST_AUDIO_SECONDS = Metric(
    "stream_omni_first_audio_seconds",
    "histogram",
    "From a turn's arrival to its first sound",
    {"mode": ("text_to_speech", "speech_to_speech")},
    _FIRST_S,
)
FIRST_AUDIO_PART_SECONDS = Metric(
    "stream_omni_first_audio_part_seconds_total",
    "counter",
    "What the first sounds of turns waited for, part after part; in sum the seconds of stream_omni_first_audio_seconds",
    {"mode": ("text_to_speech", "speech_to_speech"), "part": FIRST_AUDIO_PARTS},
)
STAGE_SECONDS = Metric(
    "stream_omni_stage_seconds",
    "histogram",
    "One piece of work: a batch of a called stage, a step of an engine, a whole turn of the front door",
    _ALL_STAGES,
    _WORK_S,
)
STAGE_QUEUE_SECONDS = Metric(
    "stream_omni_stage_queue_seconds",
    "histogram",
    "The wait for it: of a call for the stage, of a turn from an engine's START to its first id, of a turn for a place",
    _ALL_STAGES,
    _WORK_S,
)
AUDIO_CHUNK_GAP_SECONDS = Metric(
    "stream_omni_audio_chunk_gap_seconds", "histogram", "From one piece of a turn's sound to its next", {}, _FIRST_S
)
AUDIO_UNDERRUNS = Metric(
    "stream_omni_audio_underruns_total", "counter", "Pieces of sound that came after all before them had been played"
)
AUDIO_SECONDS = Metric("stream_omni_audio_seconds_total", "counter", "Sound that was made, as it plays")
REALTIME_FACTOR = Metric(
    "stream_omni_realtime_factor",
    "histogram",
    "Of a turn with several pieces of sound: from its first to its last one, over what those after the first play",
    {},
    _FACTORS,
)
BATCH_SIZE = Metric(
    "stream_omni_batch_size",
    "histogram",
    "Turns that a piece of work was for; of an engine, in steps that made ids",
    {"stage": (*ENGINES, *CALLED_STAGES)},
    _BATCHES,
)
KV_SLOTS = Metric(
    "stream_omni_kv_slots",
    "gauge",
    "Rows of an engine's key-value caches",
    {"stage": ENGINES, "state": SLOT_STATES},
)
CANCEL_RELEASE_SECONDS = Metric(
    "stream_omni_cancel_release_seconds",
    "histogram",
    "From the notice that a client has left its turn until no stage holds anything for it",
    {},
    _RELEASE_S,
)
NONFINITE = Metric(
    "stream_omni_nonfinite_total",
    "counter",
    "Results that held a number which is not finite; their turns ended with an error",
    {"stage": (*ENGINES, *CALLED_STAGES)},
)

DRAIN_RATIO = Metric(
    "stream_omni_drain_ratio",
    "gauge",
    "Of a server that drains: how much of the time that running turns get is over, up to 1; 0 of one that does not",
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

READY = Metric("stream_omni_ready", "gauge", "1 where the admin port's /ready answers 200, else 0")
BROKEN = Metric(
    "stream_omni_broken", "gauge", "1 of what is known to be dead or silent until it answers again", {"what": MENDED}
)
RECOVERIES = Metric(
    "stream_omni_recoveries_total", "counter", "How often what was dead or silent answered again", {"what": MENDED}
)
SUPERVISED_SECONDS = Metric("stream_omni_supervised_seconds", "gauge", "Since the supervisor began")

SUPERVISOR_METRICS = (READY, BROKEN, RECOVERIES, SUPERVISED_SECONDS)


class Recorder(Protocol):
    """Takes what is measured. Callable from any thread, at once, and never fails."""

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """To a counter."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """A gauge."""

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Into a histogram."""

    def close(self) -> None:
        """Everything is where it belongs; nothing more will come."""


class Unrecorded:
    """Where nobody asks, or another process tells: turns in process, the steps of the unary turn."""

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None: ...

    def set(self, metric: Metric, value: float, **labels: str) -> None: ...

    def observe(self, metric: Metric, value: float, **labels: str) -> None: ...

    def close(self) -> None: ...
