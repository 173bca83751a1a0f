"""The baseline is the reference: it makes the recorded ids, waste and all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.reference_baseline import Reference
from stream_omni.checkpoint import open_sources, read_model_info
from tests.conftest import FIXTURES
from tests.recorded_turns import recorded

SKIPPED = frozenset(np.load(FIXTURES / "skip_ids.npy").tolist())
TEXTS: dict[str, str] = json.loads((FIXTURES / "token_text.json").read_text(encoding="utf-8"))


def decode(ids: Sequence[int]) -> str:
    """No tokenizer is stored with the cases: an id that can be spoken decodes to a word, any other to a symbol."""
    return "".join("*" if i in SKIPPED else TEXTS.get(str(i), "word") for i in ids)


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> Reference:
    return Reference(open_sources(tiny_checkpoint)["model"], read_model_info(tiny_checkpoint, None), decode)


@pytest.mark.parametrize("name", ["s2s", "s2s_img", "s2s_long", "s2s_max5"])
def test_the_recorded_ids(reference: Reference, name: str) -> None:
    fields, arrays = recorded(name)
    ids = [i for i in fields["prompt_ids"] if i >= 0]
    pictures = [torch.from_numpy(arrays["merged_image_features"])] if "image_at" in fields else []
    places = [fields["image_at"]] if pictures else []
    assert list(reference.speak(ids, pictures, places, fields["max_new_tokens"])) == fields["out_ids"]
    assert reference.text_ids == fields["llm_ids"]
