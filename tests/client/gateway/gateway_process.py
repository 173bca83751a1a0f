"""``stream-omni gateway`` as its operator starts it: a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_COMMAND = "from stream_omni_client.command import main; raise SystemExit(main())"


@dataclass
class GatewayProcess:
    """``url`` without a path. ``lines`` are those of its log so far."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.url.partition("://")[2]

    def line(self, **wanted: Any) -> dict[str, Any]:
        """The next line of the log, or one that is there, with these values."""
        return until(lambda: next((line for line in self.lines if wanted.items() <= line.items()), None))

    def read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))  # every line is JSON, or the thread's exception fails the test


@contextmanager
def gateway_process(triton_url: str, *options: str) -> Iterator[GatewayProcess]:
    """Ended by SIGTERM, as a supervisor does it, and then its exit code is 0."""
    arguments = [sys.executable, "-c", _COMMAND, "gateway", "--url", triton_url, "--port", "0", *options]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    gateway = GatewayProcess(process)
    reader = threading.Thread(target=gateway.read_log)
    reader.start()
    try:
        assert process.stdout is not None
        gateway.url = process.stdout.readline().split()[1]
        assert process.stdout.readline() == "ready\n"
        yield gateway
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()


def until(found: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """What ``found`` returns once it is true."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.02)
    return value
