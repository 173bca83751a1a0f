"""What is shipped of a checkpoint is what a build makes of it, each value once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from stream_omni_build.build import Sources, build
from stream_omni_build.progress import silent
from stream_omni_build.repository import find_profile
from stream_omni_demo.checkpoint import shipping
from stream_omni_demo.checkpoint.folders import Folders, layout_of
from stream_omni_demo.checkpoint.shipping import GRAPHS, TooLargeError, ship, write_record
from stream_omni_demo.pipeline import Workshop


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_shipped_checkpoint_is_filled_to_what_was_built(
    laid_out: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, made, filled = tmp_path / "shipped", tmp_path / "made", tmp_path / "filled"
    out.mkdir()
    (out / "MODEL_CARD.md").write_text("kept", encoding="utf-8")
    said: list[str] = []
    for _ in range(2):  # the second replaces the first
        ship(layout_of(laid_out), made, out, said.append)
    write_record(laid_out, out)
    shipped = Folders.within(out)
    assert digests(shipped.language) == digests(layout_of(laid_out).language)
    assert {path.name for path in out.iterdir()} == {
        *("MODEL_CARD.md", "training.json", "stream-omni-demo", "cosyvoice-demo", "graphs"),
    }
    assert said[-1].startswith(f"{out}: ") and float(said[-1].split()[-2]) < 25
    build(Sources(shipped.language, shipped.cosyvoice, out / GRAPHS), find_profile("cpu"), filled, silent())
    assert digests(filled) == digests(made)

    monkeypatch.setattr(shipping, "LARGEST_MB", 1.0)
    with pytest.raises(TooLargeError, match="at most 1 may be shipped"):
        ship(layout_of(laid_out), made, out, said.append)
