"""What the front door asks of an engine model (``llm``, ``speech_top``); every call is unary.

START, APPEND and CANCEL name a turn and return at once. POLL is answered with the events of all turns of its owner, or
empty after a heartbeat. An engine drops the turns of an owner that stopped polling.
"""

from __future__ import annotations

from enum import IntEnum

HEARTBEAT_S = 0.25  # short against the silence after which the front door gives an engine up

# The outputs of a POLL: the fields of stream_omni.runtime.events.Batch.
EVENT_OUTPUTS = ("turns", "lens", "ids", "counts", "fin", "messages")


class Operation(IntEnum):
    START = 0
    APPEND = 1
    CANCEL = 2
    POLL = 3
