"""A little corpus in a voice of tones, and the stages of speech run over it with the smallest amounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from stream_omni_demo.checkpoint.folders import demo_info
from stream_omni_demo.checkpoint.stages import FIRST
from stream_omni_demo.pipeline import Workshop, run_stages
from stream_omni_demo.plan import SMOKE
from stream_omni_demo.speech.stages import STAGES
from stream_omni_demo.voices.stages import STAGES as VOICES

from stream_omni.model_info import ModelInfo


@contextmanager
def single_thread() -> Iterator[None]:
    """As each training process has it: on a busy machine two threads wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """After all stages of speech."""
    made = Workshop(tmp_path_factory.mktemp("workshop"), SMOKE, say=lambda line: None)
    with single_thread():
        run_stages((FIRST, *VOICES, *STAGES), [], made)
    return made


@pytest.fixture(scope="session")
def info(workshop: Workshop) -> ModelInfo:
    return demo_info(workshop)
