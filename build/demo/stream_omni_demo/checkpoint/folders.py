"""Where the directories of the demo checkpoint are, and what they say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stream_omni.checkpoint import read_model_info
from stream_omni.model_info import ModelInfo
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.sizes import DEMO


@dataclass(frozen=True)
class Folders:
    language: Path
    cosyvoice: Path

    @classmethod
    def within(cls, parent: Path) -> Folders:
        return cls(parent / f"stream-omni-{DEMO.name}", parent / f"cosyvoice-{DEMO.name}")


def layout_of(workshop: Workshop) -> Folders:
    """Complete and servable, but with random weights: what the stages learn sizes, ids and voices from."""
    return Folders.within(workshop.folder / "layout")


def packed_of(workshop: Workshop) -> Folders:
    """With the weights of all stages, rounded to half precision."""
    return Folders.within(workshop.folder / "packed")


def trained_speech_tokenizer(workshop: Workshop) -> Path:
    """The ONNX file that the stage "speech_tokenizer" leaves."""
    return workshop.folder / "trained" / "speech_tokenizer.onnx"


def demo_info(workshop: Workshop) -> ModelInfo:
    """Of the layout. Raises CheckpointError where that stage has not been made."""
    layout = layout_of(workshop)
    return read_model_info(layout.language, layout.cosyvoice)
