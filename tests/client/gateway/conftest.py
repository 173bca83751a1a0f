"""Gateways in front of both real tritonservers: the one that does what it is told, and the one with the pipeline."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile
from openai import OpenAI

from stream_omni.serving.keys_command import main as keys
from tests.client.gateway.gateway_process import GatewayProcess, gateway_process

MODEL = "stream-omni"


@pytest.fixture(scope="session")
def gateway(protocol_url: str) -> Iterator[GatewayProcess]:
    """In front of the server that does what the question's first word says (tests/client/protocol_model)."""
    with gateway_process(protocol_url, "--alias", "whisper-1") as process:
        yield process


@pytest.fixture
def openai(gateway: GatewayProcess) -> Iterator[OpenAI]:
    """Tries once, so that each failure is seen."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone of 0.1 s as a WAV file of 16 bit."""
    path = tmp_path_factory.mktemp("sounds") / "question.wav"
    soundfile.write(path, np.sin(np.arange(1600) / 5) * 0.5, 16_000)
    return path


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="session")
def alice(key_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key that may have one turn at once."""
    told = io.StringIO()
    with redirect_stdout(told):
        assert keys(["make", "--file", str(key_file), "--name", "alice", "--turns", "1"]) == 0
    return next(word for word in told.getvalue().split() if word.startswith("so_"))
