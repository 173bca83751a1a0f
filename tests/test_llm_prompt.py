"""What enters the LLM: pictures in their places, soft embeddings or ids for all else."""

from __future__ import annotations

import numpy as np
import pytest

from stream_omni.llm_prompt import llm_prompt
from stream_omni.prompt import IMAGE_ID, Prompt

HIDDEN = 4


def rows(count: int, value: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.full((count, HIDDEN), value, np.float32)


def prompt(*ids: int) -> Prompt:
    return Prompt(np.array(ids, np.int64), None, tuple(i for i, token in enumerate(ids) if token == IMAGE_ID))


def test_a_text_question_keeps_its_ids() -> None:
    ids, embeds = llm_prompt(prompt(5, 6, IMAGE_ID, 7, IMAGE_ID), [rows(2, 1), rows(1, 2)], HIDDEN)
    assert ids.tolist() == [5, 6, -1, -1, 7, -1]
    assert embeds[:, 0].tolist() == [1, 1, 2]


def test_a_spoken_question_is_all_rows() -> None:
    soft = np.arange(3, dtype=np.float32)[:, None] + np.zeros((3, HIDDEN), np.float32)
    ids, embeds = llm_prompt(prompt(5, IMAGE_ID, 6, 7), [rows(2, 9)], HIDDEN, soft)
    assert ids.tolist() == [-1] * 5
    assert embeds[:, 0].tolist() == [0, 9, 9, 1, 2]


def test_no_picture_no_rows() -> None:
    ids, embeds = llm_prompt(prompt(5, 6), [], HIDDEN)
    assert ids.tolist() == [5, 6] and embeds.shape == (0, HIDDEN)


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="places for 1 pictures, 0 were given"):
        llm_prompt(prompt(5, IMAGE_ID), [], HIDDEN)
    with pytest.raises(ValueError, match="2 positions without pictures, but 3 soft"):
        llm_prompt(prompt(5, 6), [], HIDDEN, rows(3, 0))
