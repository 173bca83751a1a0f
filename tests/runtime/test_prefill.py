"""Prompt chunks: they cover the prompt, and no longer prompt has one of a single token."""

from __future__ import annotations

from itertools import pairwise

import pytest

from stream_omni.runtime.prefill import CHUNK_TOKENS, chunk_end, reusable_tokens


def bounds(length: int, begin: int = 0) -> list[int]:
    found = [begin]
    while found[-1] < length:
        found.append(chunk_end(found[-1], length))
    return found


@pytest.mark.parametrize("length", range(1, 3 * CHUNK_TOKENS + 4))
def test_chunks_cover_the_prompt_without_one_of_a_single_token(length: int) -> None:
    sizes = [b - a for a, b in pairwise(bounds(length))]
    assert sum(sizes) == length and max(sizes) <= CHUNK_TOKENS
    assert min(sizes) >= min(2, length)


def test_chunks_are_as_large_as_they_may_be() -> None:
    assert bounds(129) == [0, 64, 127, 129]
    assert bounds(128) == [0, 64, 128]
    assert bounds(65) == [0, 63, 65]


@pytest.mark.parametrize("length", range(1, 2 * CHUNK_TOKENS + 4))
def test_what_remains_after_a_shared_beginning_has_no_chunk_of_a_single_token(length: int) -> None:
    for shared in range(length + 2):
        begin = reusable_tokens(shared, length)
        assert 0 <= begin <= shared and (begin == shared or begin == max(0, length - 2))
        if length > 1:
            assert min(b - a for a, b in pairwise(bounds(length, begin))) >= 2
