"""Fixtures of the language stages' tests."""

from __future__ import annotations

import json

import pytest
from stream_omni_build.random_tokenizer import tokenizer_config
from stream_omni_demo.sizes import DEMO
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.vocabulary import demo_tokenizer

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


@pytest.fixture(scope="session")
def world_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The demo checkpoint's own."""
    folder = tmp_path_factory.mktemp("world_tokenizer")
    (folder / "tokenizer.json").write_text(demo_tokenizer().to_str(), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(DEMO)), encoding="utf-8")
    return Tokenizer(folder)


@pytest.fixture(scope="session")
def world_info(world_tokenizer: Tokenizer) -> ModelInfo:
    """Small networks with the vocabulary of the demo checkpoint."""
    return small_info(world_tokenizer, DEMO.units)
