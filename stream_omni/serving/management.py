"""Triton's management calls, closed to everybody but who started the server.

Loading a model over the wire may bring files along, which is running somebody else's code; the other calls read memory
or write files. So they want a key of this start, which only the launcher knows.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton

_APIS = "model-repository,shared-memory,trace,logging"
_NAME = "stream-omni-launcher"  # of the header that carries the key, in gRPC behind Triton's own prefix
_COMMAND_LINE = slice(45, 47)  # of /proc/PID/stat, behind the program's name: where it begins and ends in memory


class Management:
    """Of one server."""

    def __init__(self) -> None:
        self._key = secrets.token_hex(32)

    def arguments(self) -> list[str]:
        """For tritonserver's command line."""
        return [
            "--model-control-mode=explicit",  # models come and go by a call with the key only, never by a changed file
            "--load-model=*",
            f"--grpc-restricted-protocol={_APIS}:{_NAME}={self._key}",
            f"--http-restricted-api={_APIS}:{_NAME}={self._key}",
        ]

    def hide(self, process: int) -> bool:
        """Blot the key out of the process list, where every user of the machine could read it: Triton takes it from
        nowhere but its command line, and keeps a copy of its own. False where the system forbids it."""
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            begin, end = map(int, fields[_COMMAND_LINE])
            with Path(f"/proc/{process}/mem").open("r+b", buffering=0) as memory:
                memory.seek(begin)
                line = memory.read(end - begin)
                memory.seek(begin)
                memory.write(line.replace(self._key.encode(), b"*" * len(self._key)))
        except OSError:
            return False
        return True

    def reload(self, grpc_url: str, model: str, timeout_s: float, options: Mapping[str, Any]) -> None:
        """Replace a model's process, dead or alive, by a new one; ``options`` are the connection's. Raises
        ConnectionError with the reason."""
        headers = {f"triton-grpc-protocol-{_NAME}": self._key}
        try:
            with triton.InferenceServerClient(grpc_url, **options) as client:
                client.unload_model(model, headers=headers, client_timeout=timeout_s)  # or loading would do nothing
                client.load_model(model, headers=headers, client_timeout=timeout_s)
        except triton.InferenceServerException as error:
            raise ConnectionError(error.message()) from error
