"""What an engine's loop tells the metrics."""

from __future__ import annotations

from stream_omni.serving.metrics import (
    BATCH_SIZE,
    KV_SLOTS,
    NONFINITE,
    STAGE_QUEUE_SECONDS,
    STAGE_SECONDS,
    STREAMS_ACTIVE,
    STREAMS_CAPACITY,
    Recorder,
)


class EngineMeter:
    """A :class:`stream_omni.runtime.watch.Watch` of the engine ``stage``, which has ``slots``."""

    def __init__(self, recorder: Recorder, stage: str, slots: int) -> None:
        self._recorder, self._stage, self._slots = recorder, stage, slots
        self.hold(0, 0)

    def hold(self, turns: int, slots: int) -> None:
        # all of them, though one never changes: the front door may have set them to 0 for the process before this one
        self._recorder.set(STREAMS_CAPACITY, self._slots, stage=self._stage)
        self._recorder.set(STREAMS_ACTIVE, turns, stage=self._stage)
        self._recorder.set(KV_SLOTS, slots, stage=self._stage, state="used")
        self._recorder.set(KV_SLOTS, self._slots - slots, stage=self._stage, state="free")

    def begin(self, waited_s: float) -> None:
        self._recorder.observe(STAGE_QUEUE_SECONDS, waited_s, stage=self._stage)

    def step(self, took_s: float, turns: int) -> None:
        self._recorder.observe(STAGE_SECONDS, took_s, stage=self._stage)
        if turns:
            self._recorder.observe(BATCH_SIZE, turns, stage=self._stage)

    def lose(self, turns: int) -> None:
        if turns:
            self._recorder.add(NONFINITE, turns, stage=self._stage)
