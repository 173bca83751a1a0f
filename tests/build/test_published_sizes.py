"""The sizes that tables and estimates stand on are what a checkpoint of the real geometry is read as.

Nothing is drawn: its files have the real headers and no values.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_omni_build.graph_options import with_units_alone
from stream_omni_build.progress import silent
from stream_omni_build.published_sizes import PUBLISHED_BYTES, published_info

from stream_omni.checkpoint import open_sources, read_model_info
from tests.build.engines.hollow import write_hollow_checkpoint


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_hollow_checkpoint(tmp_path_factory.mktemp("hollow"))


def test_they_are_read_from_a_checkpoint_of_the_real_geometry(hollow: tuple[Path, Path]) -> None:
    assert with_units_alone(read_model_info(*hollow), hollow[0], silent()) == published_info()


def test_its_tensors_are_all_that_the_networks_need_and_as_large_as_told(hollow: tuple[Path, Path]) -> None:
    """By the headers: 26 GB in 2 bytes a value, and CosyVoice's in 4."""
    sources = open_sources(*hollow)  # raises where one is missing or has another shape
    bytes_of = {"model": 2, "flow": 4, "hift": 4}
    total = 0
    for key, source in sources.items():
        for shape in source.shapes().values():
            size = bytes_of[key]
            for axis in shape:
                size *= axis
            total += size
    assert 0.9 * PUBLISHED_BYTES < total < PUBLISHED_BYTES  # the speech tokenizer and small files come to it
    on_disk = sum(path.stat().st_blocks * 512 for folder in hollow for path in folder.rglob("*"))
    assert on_disk < 50e6
