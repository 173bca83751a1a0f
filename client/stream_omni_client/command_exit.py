"""How a command ends when a turn fails: one line for people, a stable exit code for scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable

from stream_omni_client.errors import (
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerError,
    StreamOmniError,
    Unauthenticated,
)

EXIT_CODES: dict[type[StreamOmniError], int] = {
    ServerError: 1,
    InvalidRequest: 2,  # as argparse's code for a wrong command line
    ConnectionFailed: 3,
    DeadlineExceeded: 4,
    Overloaded: 5,
    Unauthenticated: 6,
    Cancelled: 7,
}
EXIT_CODES_HELP = (
    "exit codes: 0 done, 1 the server failed, 2 refused or wrong options, 3 no connection, 4 too slow, 5 overloaded, "
    "6 not authenticated, 7 cancelled, 130 Ctrl-C, 141 the reader of a pipe has ended"
)


def run(work: Callable[[], int]) -> int:
    """The exit code of ``work``, or of the error that it ended with, which is then told on stderr."""
    try:
        return work()
    except StreamOmniError as error:
        tell(error)
        return EXIT_CODES[type(error)]
    except ModuleNotFoundError as error:
        if error.name != "sounddevice":
            raise
        print(f"stream-omni: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise  # nobody reads on: no failure of the turn
    except OSError as error:
        print(f"stream-omni: {error}", file=sys.stderr)
        return 2


def tell(error: StreamOmniError) -> None:
    """One line on stderr."""
    turn = f" [request {error.request_id}]" if error.request_id else ""
    hint = ""
    if isinstance(error, Overloaded) and error.retry_after is not None:
        hint = f" (try again in {error.retry_after:g} s)"
    print(f"stream-omni: {error}{hint}{turn}", file=sys.stderr)
