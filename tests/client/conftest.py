"""A real tritonserver that speaks the wire protocol without any network: protocol_model/ does what it is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from stream_omni_client import StreamOmni
from stream_omni_client.sound_device import load_sounddevice

from stream_omni.serving.launcher import TritonServer
from tests.client.blocking_twin import BlockingTwin

TAPE = """
pcm.nothing {{ type null }}
pcm.played {{ type file slave.pcm nothing file "{paced} {out}" format raw }}
pcm.recorded {{ type file slave.pcm nothing file "{paced} {said}" infile "{into}" format raw }}
pcm.loudspeaker {{ type plug slave {{ pcm played format S16_LE channels 1 rate 22050 }} }}
pcm.microphone {{ type plug slave {{ pcm recorded format S16_LE channels 1 rate 22050 }} }}
pcm.default {{ type asym playback.pcm loudspeaker capture.pcm microphone }}
"""
PACED = f"| {sys.executable} {Path(__file__).parent / 'paced_tape.py'}"
PROTOCOL_MODEL = Path(__file__).parent / "protocol_model"


@contextmanager
def protocol_server(log: Path) -> Iterator[TritonServer]:
    with log.open("wb") as output, TritonServer(PROTOCOL_MODEL, probe=probe, drain_timeout_s=1, log=output) as server:
        yield server


def probe(url: str, timeout_s: float) -> None:
    with StreamOmni(url) as client:
        if not client.ready(timeout_s):
            raise ConnectionError("no answer")


@pytest.fixture(scope="session")
def protocol_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a server for tests that leave it as it was."""
    with protocol_server(tmp_path_factory.mktemp("protocol-server") / "log") as server:
        yield server.grpc_url


@pytest.fixture(params=[StreamOmni, BlockingTwin], ids=["sync", "async"])
def twin(request: pytest.FixtureRequest) -> type[StreamOmni]:
    """The class of the client: both keep every promise."""
    kind: type[StreamOmni] = request.param
    return kind


@pytest.fixture
def client(twin: type[StreamOmni], protocol_url: str) -> Iterator[StreamOmni]:
    with twin(protocol_url, first_event_timeout_s=5, idle_timeout_s=5) as client:
        yield client


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[TritonServer]:
    """A server for a test that breaks it."""
    with protocol_server(tmp_path / "log") as server:
        yield server


def has_portaudio() -> bool:
    try:
        load_sounddevice()
    except OSError:
        return False
    return True


@pytest.fixture
def tape(quiet_tape: Path) -> Path:
    """For tests that are of nothing else."""
    if not has_portaudio():
        pytest.skip("PortAudio is not installed")
    return quiet_tape


@pytest.fixture
def quiet_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For what is started from now on, ALSA's default device is a tape, faster than sound:
    ``in.raw`` and ``out.raw`` in this folder, int16 at 22050 Hz. ``said.raw`` is what was recorded last."""
    np.tile(np.arange(1, 4411, dtype=np.int16), 200).tofile(tmp_path / "in.raw")
    tapes = {"out": tmp_path / "out.raw", "into": tmp_path / "in.raw", "said": tmp_path / "said.raw"}
    tape = TAPE.format(paced=PACED, **tapes)
    (tmp_path / "asound.conf").write_text(tape)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    return tmp_path


def heard_on(tape: Path) -> NDArray[np.int16]:
    """What is no silence: the tape runs faster than a turn, and waits for its pieces."""
    samples = np.fromfile(tape / "out.raw", np.int16)
    return samples[samples != 0]
