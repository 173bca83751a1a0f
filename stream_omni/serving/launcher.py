"""Starts a tritonserver on a model repository, knows when it answers, and ends it without leaving a process behind."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from stream_omni.runtime.engine_manifest import was_replayed
from stream_omni.serving import guest_book
from stream_omni.serving.connections import CONNECTION_AGE_S, connection_arguments
from stream_omni.serving.doors import DoorError, Doors, url
from stream_omni.serving.drain_notice import DrainNotice
from stream_omni.serving.event_log import CONTENT as LOG_CONTENT
from stream_omni.serving.installed_server import NoServerError, find_server
from stream_omni.serving.management import Management
from stream_omni.serving.probe import answer_a_tiny_turn, is_answered_at_all, step_answers
from stream_omni.serving.security import EVERYBODY, Security, SecurityError
from stream_omni.serving.stage_secret import ENVIRONMENT as STAGE_SECRET
from stream_omni.serving.stage_secret import StageSecret
from stream_omni.serving.tracing import UNTRACED, Tracing, TracingError

_PR_SET_PDEATHSIG = 1
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (not a temporary file)
_SHARED_MB_A_PROCESS = 4  # it begins with 1, and grows with what travels
_REAPING_S = 2.0  # for processes that were killed
_libc = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be imported between fork and exec


class LaunchError(RuntimeError):
    """The server cannot be started, or did not become ready. The message is meant for the operator."""


class TritonServer:
    """A tritonserver process, used with ``with`` or with :meth:`start` and :meth:`stop`.

    ``repository`` is a built directory (what ``stream-omni build`` wrote) or its ``model_repository`` folder. Ports
    that are 0 are chosen; Triton's HTTP is closed unless it is given one, and on loopback then.
    ``probe(grpc_url, timeout_s)`` proves readiness by an inference: Triton itself says "ready" even of a model whose
    process is dead. ``log`` takes the server's output; None passes it through.
    ``log_content`` puts what was said into the log of turns; ``tracing`` says where traces of turns go.

    The server gets SIGTERM when the *thread* that called :meth:`start` ends (that is what Linux offers), so start it
    from a thread that outlives it. What does not end by that is ended by a keeper (:mod:`stream_omni.serving.keeper`).
    A stopped server may be started again; its ports stay the same.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int | None = None,
        metrics_port: int = 0,
        ready_timeout_s: float = 300.0,
        drain_timeout_s: int = 10,
        security: Security = EVERYBODY,
        connection_age_s: float = CONNECTION_AGE_S,
        log_content: bool = False,
        tracing: Tracing = UNTRACED,
        probe: Callable[[str, float], None] | None = None,
        log: IO[Any] | None = None,
    ) -> None:
        self.repository = _model_repository(repository)
        self._ready_timeout_s, self.drain_timeout_s = ready_timeout_s, drain_timeout_s
        self._probe, self._log = probe or self._answer_a_tiny_turn, log
        self._connection_age_s = connection_age_s
        self.security, self._tracing, self._log_content = security, tracing, log_content
        _check(security, tracing)
        self._doors = _choose(host, grpc_port, metrics_port, http_port)
        self._regions = (
            f"stream_omni_{secrets.token_hex(4)}_"  # shared memory, recognisable if a killed server leaves it
        )
        self.stage_secret = StageSecret.make()  # also for who may call stages from here: tests
        self._management = Management()
        self._scratch: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def grpc_url(self) -> str:
        return url(self._doors.grpc)

    @property
    def http_url(self) -> str | None:
        """None: it is closed."""
        return url(self._doors.http) if self._doors.http else None

    @property
    def metrics_url(self) -> str:
        return url(self._doors.metrics)

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def exit_code(self) -> int | None:
        """None while the server runs."""
        return None if self.process is None else self.process.poll()

    def probe(self, timeout_s: float) -> None:
        """Prove by an inference that the server answers. Raises ConnectionError with the reason."""
        self._probe(self.grpc_url, timeout_s)

    def says_anything(self, timeout_s: float) -> bool:
        """Whether the front door answers, if only with a refusal."""
        try:
            return is_answered_at_all(self.grpc_url, timeout_s, self._client_options())
        except ConnectionError:
            return False

    def step_answers(self, step: str, timeout_s: float) -> bool:
        """Whether a step of the unary turn answers, if only with a refusal."""
        try:
            options = self._client_options()
        except ConnectionError:
            return False
        return step_answers(self.grpc_url, step, timeout_s, options, self.stage_secret.parameters)

    def guests_of(self, door: str) -> int:
        """Turns that a door which keeps a book has taken in and not answered, also when its process is dead."""
        scratch = self._scratch  # another thread may stop the server
        return 0 if scratch is None else guest_book.guests_of(scratch, door)

    def reload(self, model: str) -> None:
        """Give a model, dead or alive, a new process; the others go on. Raises ConnectionError with the reason."""
        self._management.reload(self.grpc_url, model, self._ready_timeout_s, self._client_options())

    def shared_memory(self) -> list[Path]:
        """The regions through which the server's processes talk to each other."""
        return list(_SHARED_MEMORY.glob(f"{self._regions}*"))

    def announce_drain(self, deadline_s: float) -> None:
        """Have new turns refused, and running ones ended with an error at ``deadline_s`` (time.monotonic)."""
        if self._scratch is not None:
            _notice(self._scratch).give(deadline_s)

    def start(self) -> None:
        """Start and wait until a turn was answered. Raises :class:`LaunchError`; then nothing is left running."""
        try:
            self._spawn()
            self._wait_until_ready()
        except OSError as error:  # no room for its files, no processes to be had: that may pass
            self.stop()
            raise LaunchError(f"the server cannot be started: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self, grace_s: float | None = None) -> None:
        """Let running turns finish for at most ``grace_s`` (the drain time and what the server needs to end), then end
        every process; 0: at once. May be called twice."""
        process, self.process = self.process, None
        try:
            if process is not None and process.poll() is None and grace_s != 0:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self._grace_s if grace_s is None else grace_s)
        finally:  # who is impatient and interrupts this must not leave anything behind either
            if process is not None:
                self._clear_up(process)
            self._dismiss_keeper()
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._scratch = None

    def _clear_up(self, process: subprocess.Popen[bytes]) -> None:
        # The stubs are in the server's group; a forced exit of the server leaves them behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _reap(process.pid)
        for region in self.shared_memory():
            region.unlink(missing_ok=True)

    def _spawn(self) -> None:
        self._check_room()
        self.stage_secret, self._management = StageSecret.make(), Management()  # of a former start no word is good
        self._scratch = Path(tempfile.mkdtemp(prefix="stream-omni-server-"))
        try:
            installed = find_server(self._scratch)
        except NoServerError as error:
            raise LaunchError(str(error)) from error
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it ended before the line above
                os._exit(1)

        command = [
            str(installed.binary),
            f"--model-repository={self.repository}",
            f"--backend-directory={installed.backends}",
            "--cache-directory=/nonexistent",  # the compiled-in default need not exist either; no cache is used
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            "--disable-auto-complete-config",  # auto-completion would start every model's process twice
            f"--exit-timeout-secs={self.drain_timeout_s}",
            *self._doors.arguments(),
            *self.security.arguments(),
            *self._tracing.arguments(),
            *_forwarding(*self.security.headers, *self._tracing.headers),
            *connection_arguments(self.repository, self._connection_age_s),
            f"--allow-gpu-metrics={str(installed.sees_gpus).lower()}",
            "--log-format=ISO8601",
            *self._management.arguments(),
        ]
        self.process = subprocess.Popen(  # noqa: S603 (a fixed program)
            command,
            env=_environment() | self._own_environment(),
            cwd=Path(__file__).parents[
                2
            ],  # the models' processes ignore PYTHONPATH but import from here: the same stream_omni
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # a Ctrl-C at the terminal must reach the launcher only, which then drains
            preexec_fn=die_with_parent,
        )
        self._set_keeper()

    def _check_room(self) -> None:
        """Without shared memory the models' processes fail later, one by one and without a reason."""
        count = sum(1 for _ in self.repository.glob("*/*/model.py"))
        free_mb, needed_mb = shutil.disk_usage(_SHARED_MEMORY).free >> 20, _SHARED_MB_A_PROCESS * count
        if free_mb < needed_mb:
            raise LaunchError(
                f"{_SHARED_MEMORY} has {free_mb} MB free, and {count} models need {needed_mb} at least; give it more "
                "(docker run --shm-size 1g; Kubernetes: an emptyDir of medium Memory there)"
            )

    @property
    def _grace_s(self) -> float:
        return self.drain_timeout_s + 2  # it may hang after its own limit, too

    def _set_keeper(self) -> None:
        assert self.process is not None
        watched = [str(self.process.pid), str(self._grace_s), self._regions, str(self._scratch)]
        self._keeper = subprocess.Popen(  # noqa: S603 (a fixed program)
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), *watched],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # no signal for the launcher is meant for it
        )

    def _dismiss_keeper(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.kill()
            keeper.wait()
            assert keeper.stdin is not None
            keeper.stdin.close()

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline, reason, hidden = time.monotonic() + self._ready_timeout_s, "nothing answered", False
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise LaunchError(
                    f"tritonserver ended with code {self.process.returncode} while starting; its log says why"
                )
            if not hidden and self._has_read_its_command_line():
                hidden = self._management.hide(self.process.pid)
            if self._doors.are_open():
                try:
                    self._probe(self.grpc_url, deadline - time.monotonic())
                    return
                except ConnectionError as error:
                    reason = str(error)
            time.sleep(0.1)
        raise LaunchError(f"the server was not ready after {self._ready_timeout_s:g} s: {reason}")

    def _own_environment(self) -> dict[str, str]:
        """What the models' processes, which inherit it, are told."""
        assert self._scratch is not None
        own = {STAGE_SECRET: self.stage_secret.word, LOG_CONTENT: "1" if self._log_content else ""}
        asked_for = {**self.security.environment(), **self._tracing.environment()}
        return {**own, **_notice(self._scratch).environment(), **guest_book.environment(self._scratch), **asked_for}

    def _client_options(self) -> Mapping[str, Any]:
        """Raises ConnectionError."""
        try:
            return self.security.client_options(self.grpc_url)
        except OSError as error:
            raise ConnectionError(f"no TLS with the server: {error}") from error

    def _answer_a_tiny_turn(self, url: str, timeout_s: float) -> None:
        answer_a_tiny_turn(url, timeout_s, self._client_options(), self.stage_secret.parameters)

    def _has_read_its_command_line(self) -> bool:
        """It makes no shared memory before."""
        return bool(self.shared_memory())


def _reap(group: int) -> None:
    """A server's stubs become this process's children when it is a container's first process; nobody else is there to
    ask how they ended."""
    deadline_s = time.monotonic() + _REAPING_S
    with contextlib.suppress(ChildProcessError):  # none, or none any more
        while time.monotonic() < deadline_s:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def _notice(scratch: Path) -> DrainNotice:
    return DrainNotice(scratch / "drain")


def _model_repository(directory: Path) -> Path:
    for candidate in (directory / "model_repository", directory):
        if any(candidate.glob("*/config.pbtxt")):
            built = candidate.resolve().parent
            if not _is_complete(built):
                raise LaunchError(f"{built} is no complete build; run again: stream-omni build --out {built} ...")
            if not was_replayed(built):
                _log.warning("%s was built with --no-replay: nothing has held its engines all together", built)
            return candidate.resolve()
    raise LaunchError(f"{directory} holds no model repository; make one with: stream-omni build --out {directory} ...")


def _is_complete(built: Path) -> bool:
    """By the manifest, which a build writes last; what no build has made, has none."""
    manifest = built / "manifest.json"
    if not manifest.is_file():
        return not (built / "graphs").is_dir()
    try:
        json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:  # the disk was full
        return False
    return True


_log = logging.getLogger(__name__)


def _check(security: Security, tracing: Tracing) -> None:
    try:
        security.check()
        tracing.check()
    except (SecurityError, TracingError) as error:
        raise LaunchError(str(error)) from error


def _choose(host: str, grpc_port: int, metrics_port: int, http_port: int | None) -> Doors:
    try:
        return Doors.choose(host, grpc_port, metrics_port, http_port)
    except DoorError as error:
        raise LaunchError(str(error)) from error


def _forwarding(*headers: str) -> list[str]:
    """By which models see these headers of a request, as parameters."""
    pattern = f"(?i)^({'|'.join(headers)})$"
    return [f"--{door}-header-forward-pattern={pattern}" for door in ("grpc", "http")] if headers else []


def _environment() -> dict[str, str]:
    """The first python3 on PATH decides which packages the models import: it must be this interpreter's."""
    scripts = Path(sys.executable).parent
    python3 = scripts / "python3"
    if not python3.exists() or python3.resolve() != Path(sys.executable).resolve():
        raise LaunchError(
            f"{python3} is not the running interpreter; start from a virtual environment (python -m venv)"
        )
    return {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
