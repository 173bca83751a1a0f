"""Remembered beginnings: found by their exact bytes, never changed, and never more of them than allowed."""

from __future__ import annotations

import numpy as np
import pytest

from stream_omni.runtime.prefixes import Prefixes, content_of


def entry(number: int) -> tuple[tuple[bytes, ...], list[np.ndarray]]:
    """100 bytes of content and 400 bytes of results."""
    return content_of(np.full(100, number, np.int8)), [np.full(100, number, np.float32)]


def test_those_unused_for_the_longest_time_give_way() -> None:
    prefixes = Prefixes(1500)
    for number in (1, 2, 3):
        prefixes.keep(*entry(number))
    assert prefixes.find(entry(1)[0])
    prefixes.keep(*entry(4))
    assert [bool(prefixes.find(entry(number)[0])) for number in (1, 2, 3, 4)] == [True, False, True, True]
    prefixes.keep(*entry(3))
    assert all(prefixes.find(entry(number)[0]) for number in (1, 3, 4)), "what is known takes no room again"


def test_what_is_larger_than_the_limit_is_not_remembered() -> None:
    for limit in (0, 499):
        prefixes = Prefixes(limit)
        prefixes.keep(*entry(1))
        assert prefixes.find(entry(1)[0]) is None


def test_what_is_not_finite_is_not_kept_for_others() -> None:
    prefixes = Prefixes(1500)
    content, (values,) = entry(1)
    for bad in (np.nan, np.inf):
        spoiled = values.copy()
        spoiled[7] = bad
        prefixes.keep(content, [values, spoiled])
        assert prefixes.find(content) is None
    prefixes.keep(content, [values])
    assert prefixes.find(content)


def test_what_is_found_is_a_copy_that_nobody_can_write() -> None:
    prefixes = Prefixes(1000)
    content, (values,) = entry(1)
    prefixes.keep(content, [values])
    values[:] = 7
    found = prefixes.find(content)
    assert found and (found[0] == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        found[0][:] = 7


def test_one_bit_more_or_less_is_another_beginning() -> None:
    prefixes = Prefixes(1000)
    ids, embeds = np.arange(3), np.array([0.0, 1.0], np.float32)
    prefixes.keep(content_of(ids, embeds), [embeds])
    assert prefixes.find(content_of(ids, np.array([-0.0, 1.0], np.float32))) is None
    assert prefixes.find(content_of(ids[:2], embeds)) is None
    assert prefixes.find(content_of(ids.copy(), embeds.copy())) is not None
