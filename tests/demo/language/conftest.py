"""Fixtures of the language stages' tests."""

from __future__ import annotations

import pytest
from stream_omni_demo.trainee import Tensors

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer
from tests.demo.language.small_house import small_info, write_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def info(tokenizer: Tokenizer) -> ModelInfo:
    return small_info(tokenizer)


@pytest.fixture
def tensors(info: ModelInfo) -> Tensors:
    return Tensors.random(info, "model", seed=3)
