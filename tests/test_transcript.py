from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.transcript import collapse
from tests.conftest import FIXTURES

BLANK = 128002


def _cases() -> list[Path]:
    paths = sorted((FIXTURES / "cases").glob("*.json"))
    return [path for path in paths if "asr_ids" in json.loads(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", _cases(), ids=lambda path: path.stem)
def test_recorded_case(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert collapse(case["ctc_ids"][slice(*case["audio_span"])], BLANK) == case["asr_ids"]
    if "asr_ids_reference_slice" in case:
        assert collapse(case["ctc_ids"][43:], BLANK) == case["asr_ids_reference_slice"]


def test_a_blank_separates_equal_labels() -> None:
    assert collapse([9, 5, 5, 9, 5, 7, 7, 9], blank=9) == [5, 5, 7]


@given(labels=st.lists(st.integers(0, 3), max_size=40), cut=st.integers(0, 40))
def test_pieces_join_to_the_whole(labels: list[int], cut: int) -> None:
    first, second = labels[:cut], labels[cut:]
    joined = collapse(first, 0) + collapse(second, 0, previous=first[-1] if first else None)
    assert joined == collapse(labels, 0) == [label for label, _ in itertools.groupby(labels) if label]
