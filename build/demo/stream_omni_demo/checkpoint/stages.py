"""The first stage and the last: a checkpoint of random weights to learn sizes from, and the one of trained weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from stream_omni_build.cosyvoice_tensors import SPEAKER_SIZE, flow_tensors, vocoder_tensors
from stream_omni_build.language_tensors import language_tensors
from stream_omni_build.random_speech_tokenizer import write_speech_tokenizer
from stream_omni_build.random_tensors import RandomTensor, draw
from torch import Tensor

from stream_omni.checkpoint import open_sources
from stream_omni_demo.checkpoint.folders import Folders, layout_of, packed_of, trained_speech_tokenizer
from stream_omni_demo.checkpoint.writing import Contents, write_checkpoint
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.sizes import DEMO
from stream_omni_demo.voices.cast import OUTPUT
from stream_omni_demo.world.vocabulary import demo_token_roles, demo_tokenizer

# source of tensors: the stages that train them, a later one over an earlier
TRAINED_BY: Mapping[str, tuple[str, ...]] = {
    "model": ("listening", "llm", "top"),
    "flow": ("flow",),
    "hift": ("vocoder",),
}
_LEFT_ALONE = "model.image_newline"  # ends a row of tiles, where a picture here is one tile
_UNUSED = ".post_layernorm."  # of the vision tower: in the real file, but nothing reads it
_LARGEST_MB = 32.0  # 40 with graphs, cards and media


def make_layout(workshop: Workshop) -> Measured:
    """Random weights and the voice's embedding, which stays: the flow is trained with it."""
    with tempfile.TemporaryDirectory() as scratch:
        units = Path(scratch) / "units.onnx"
        write_speech_tokenizer(units, DEMO.units, workshop.plan.seed)
        tensors = {source: _drawn(source, table, workshop.plan.seed) for source, table in _tables().items()}
        voice = _drawn("voices", [RandomTensor(OUTPUT.name, (1, SPEAKER_SIZE), 1.0)], workshop.plan.seed)
        folders = layout_of(workshop)
        write_checkpoint(folders, Contents(tensors, voice, units))
    return _sizes(folders, tensors)


def make_packed(workshop: Workshop) -> Measured:
    """Trained tensors over the layout's."""
    layout, folders = layout_of(workshop), packed_of(workshop)
    untrained = 0
    tensors: dict[str, dict[str, Tensor]] = {}
    for source, table in _tables().items():
        trained: dict[str, Tensor] = {}
        for stage in TRAINED_BY[source]:
            trained |= load_file(workshop.trained(stage))
        drawn = _drawn(source, table, workshop.plan.seed)
        if unknown := trained.keys() - drawn.keys():
            raise ValueError(f"{', '.join(TRAINED_BY[source])} left tensors of no place: {', '.join(sorted(unknown))}")
        untrained += len(drawn.keys() - trained.keys() - {_LEFT_ALONE})
        tensors[source] = drawn | trained
    voices = torch.load(layout.cosyvoice / "spk2info.pt", weights_only=True)
    embeddings = {name: voice["embedding"] for name, voice in voices.items()}
    write_checkpoint(folders, Contents(tensors, embeddings, trained_speech_tokenizer(workshop)))
    _check_same_vocabulary(layout, folders)
    open_sources(folders.language, folders.cosyvoice)  # whether it has all that the networks need
    return {**_sizes(folders, tensors), "untrained_tensors": untrained}


def _check_same_vocabulary(layout: Folders, packed: Folders) -> None:
    """The stages have learnt the layout's ids: one word more would shift those of all words after it."""
    learnt, written = ((folders.language / "tokenizer.json").read_bytes() for folders in (layout, packed))
    if learnt != written:
        raise ValueError(f"the words of the domain are others than those of {layout.language}, which were learnt")


def _tables() -> dict[str, list[RandomTensor]]:
    language = language_tensors(DEMO, demo_token_roles(demo_tokenizer()))
    return {
        "model": [tensor for tensor in language if _UNUSED not in tensor.name],
        "flow": flow_tensors(DEMO.cosyvoice, DEMO.units),
        "hift": vocoder_tensors(DEMO.cosyvoice),
    }


def _drawn(section: str, table: Iterable[RandomTensor], seed: int) -> dict[str, Tensor]:
    return {tensor.name: torch.from_numpy(draw(tensor, section, seed)) for tensor in table}


def _sizes(folders: Folders, tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    files = [path for folder in (folders.language, folders.cosyvoice) for path in folder.rglob("*") if path.is_file()]
    parameters = sum(tensor.numel() for values in tensors.values() for tensor in values.values())
    return {
        "million_parameters": parameters / 1e6,  # but for the speech tokenizer's
        "megabytes": sum(path.stat().st_size for path in files) / 1e6,
    }


def _gate_of_size(measured: Measured) -> str:
    large = measured["megabytes"] > _LARGEST_MB
    return f"{measured['megabytes']:.1f} MB, and at most {_LARGEST_MB:g} may be shipped" if large else ""


def _gate_of_packed(measured: Measured) -> str:
    count = measured["untrained_tensors"]
    return f"{count:.0f} tensors are as random as before the training" if count else _gate_of_size(measured)


FIRST = Stage("layout", "a checkpoint of random weights, with all sizes and ids", make_layout, _gate_of_size)
LAST = Stage(
    "pack",
    "the checkpoint of trained weights, in half precision",
    make_packed,
    _gate_of_packed,
    needs=("layout", "speech_tokenizer", *(stage for stages in TRAINED_BY.values() for stage in stages)),
)
