"""What answers one request: the part of a served model that knows what is asked, and nothing of Triton."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from stream_omni.runtime.session import Array
from stream_omni.serving.stages import Stages
from stream_omni.serving.turn_meter import TurnMeter

Send = Callable[[Mapping[str, Array], bool], None]  # a response's outputs, and whether it is the last one


class Driver(Protocol):
    async def drive(
        self,
        stages: Stages,
        number: int,
        inputs: Mapping[str, Array],
        began_s: float,
        send: Send,
        meter: TurnMeter,
    ) -> None:
        """Answer one request, the last response included; ``began_s`` is when it came. May raise TurnError."""
