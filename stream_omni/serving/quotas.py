"""What each key may have of a door at once. A turn needs a place of its key's first, then one of all."""

from __future__ import annotations

from stream_omni.serving.admission import Admission
from stream_omni.serving.api_keys import Holder
from stream_omni.serving.errors import OverloadedError
from stream_omni.serving.metrics import REJECTED, Recorder, Unrecorded


class Quotas:
    """Lives on the event loop. Each turn over its key's quota waits for at most ``wait_s``."""

    def __init__(self, wait_s: float, recorder: Recorder) -> None:
        self._wait_s, self._recorder = wait_s, recorder
        self._rooms: dict[Holder, Admission] = {}  # one more where the file of keys changes a quota
        self._held: dict[int, Admission] = {}  # by turn

    async def enter(self, turn: int, holder: Holder) -> None:
        """Take a place of the key's; :meth:`leave` is owed then. Raises OverloadedError, DrainingError."""
        if holder.turns is None:
            return
        if holder not in self._rooms:
            self._rooms[holder] = Admission(holder.turns, holder.waiting, self._wait_s, Unrecorded())
        room = self._rooms[holder]
        try:
            await room.enter(turn)
        except OverloadedError as full:
            self._recorder.add(REJECTED, reason="quota")
            quota = f"the key {holder.name} may have {holder.turns} turns at once and {holder.waiting} waiting"
            raise OverloadedError(f"{quota}; come again later", full.retry_after_ms) from None
        self._held[turn] = room

    def leave(self, turn: int) -> None:
        """Of a turn that never entered: nothing."""
        if room := self._held.pop(turn, None):
            room.leave(turn)

    def close(self, retry_after_ms: int) -> None:
        """Refuse those who wait."""
        for room in self._rooms.values():
            room.close(retry_after_ms)
