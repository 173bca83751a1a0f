"""The held-out questions are ones that `stream-omni eval` can ask."""

from __future__ import annotations

from pathlib import Path

import soundfile
from PIL import Image
from stream_omni_demo.held_out import write_held_out
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.plan import SMOKE
from stream_omni_demo.voices.stages import make_corpus
from stream_omni_demo.world.sampling import exchange_of
from stream_omni_demo.world.talk import understand_conversation
from stream_omni_eval.manifest import read_manifest


def test_held_out_questions_are_asked_in_every_way(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "work", SMOKE)
    make_corpus(workshop)
    items = read_manifest(write_held_out(workshop, tmp_path / "out", 8))
    assert [item.group for item in items] == ["voices heard in training"] * 4 + ["voice kept out"] * 4
    for item in items:
        assert item.text == item.transcript and item.audio is not None
        assert item.source_text is not None and item.is_right(item.source_text), item
        for sound in (item.audio, item.source_audio):
            assert sound is not None and soundfile.info(sound).duration > 0.1
        for image in item.images:
            with Image.open(image) as picture:
                assert min(picture.size) > 300
        exchange = understand_conversation(item.text) or exchange_of(item.text, None)
        assert exchange is not None and exchange.split == "held_out"
    assert len({item.source_audio for item in items}) == len({item.source_text for item in items})
