"""What the front door asks of an engine model (``llm``, ``speech_top``); every call is unary.

START, APPEND and CANCEL name a turn. The first two return at once; CANCEL when the turn's slot is free, a step later at
the most, so that whoever takes its place finds the slot. POLL is answered with the events of all turns of its owner, or
empty after a heartbeat. An engine drops the turns of an owner that stopped polling.
"""

from __future__ import annotations

from enum import IntEnum

HEARTBEAT_S = 0.25  # short against the silence after which the front door gives an engine up
RELEASE_S = 1.5  # what a CANCEL waits for the step under way; less than its caller waits for it

# The outputs of a POLL: the fields of stream_omni.runtime.events.Batch.
EVENT_OUTPUTS = ("turns", "lens", "ids", "counts", "fin", "messages")


class Operation(IntEnum):
    START = 0
    APPEND = 1
    CANCEL = 2
    POLL = 3
