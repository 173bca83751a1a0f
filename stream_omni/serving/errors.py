"""What a turn can end with instead of an answer. Triton-free: the edge maps ``code`` to Triton's own few codes."""

from __future__ import annotations

import re

_BLAMED = re.compile(r"the stage (\w+) failed")


class TurnError(Exception):
    """The message, as the client reads it, begins with the reason; one sentence says what is wrong and the mend."""

    reason = "INTERNAL"
    code = "INTERNAL"
    outcome = "error"  # one of those of the metrics

    def __init__(self, sentence: str) -> None:
        super().__init__(f"{self.reason}: {sentence}")


class InvalidRequestError(TurnError):
    reason = "INVALID_ARGUMENT"
    code = "INVALID_ARG"
    outcome = "invalid"


class UnauthenticatedError(TurnError):
    reason = "UNAUTHENTICATED"
    code = "INVALID_ARG"
    outcome = "unauthenticated"


class OverloadedError(TurnError):
    code = "UNAVAILABLE"
    outcome = "rejected"

    def __init__(self, sentence: str, retry_after_ms: int) -> None:
        self.reason, self.retry_after_ms = f"OVERLOADED retry_after_ms={retry_after_ms}", retry_after_ms
        super().__init__(sentence)


class DrainingError(TurnError):
    """The server is about to stop: it lets no turn in, or could not wait longer for one that runs."""

    code = "UNAVAILABLE"
    outcome = "rejected"

    def __init__(self, sentence: str, retry_after_ms: int) -> None:
        self.reason = f"DRAINING retry_after_ms={retry_after_ms}"
        super().__init__(sentence)


class DeadlineError(TurnError):
    reason = "DEADLINE"
    code = "UNAVAILABLE"
    outcome = "deadline"


class StageError(TurnError):
    """A stage raised, is gone, or keeps silent. What it said goes to the log; the client learns which stage it was."""

    code = "UNAVAILABLE"

    def __init__(self, stage: str, cause: str) -> None:
        self.stage, self.cause = stage, cause
        super().__init__(f"the stage {stage} failed; send the turn again")


def blamed_stage(message: str) -> str | None:
    """The stage that an error's message names."""
    found = _BLAMED.search(message)
    return found[1] if found else None


def error_from_stage(stage: str, message: str) -> TurnError:
    """The error that another stage's message states; a message of any other form means that the stage failed, or that
    one of its steps which the message names."""
    reason, _, sentence = message.partition(": ")
    if reason == InvalidRequestError.reason:
        return InvalidRequestError(sentence)
    head, _, milliseconds = reason.partition(" retry_after_ms=")
    if head == "OVERLOADED" and milliseconds.isdecimal():
        return OverloadedError(sentence, int(milliseconds))
    return StageError(blamed_stage(message) or stage, message)


def first_cause(error: BaseException) -> BaseException:
    """Of several tasks' errors the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
