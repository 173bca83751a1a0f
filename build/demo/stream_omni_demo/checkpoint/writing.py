"""Writes the two directories. The same contents give the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from stream_omni_build.checkpoint_settings import write_language_settings
from stream_omni_build.random_configs import cosyvoice_yaml
from torch import Tensor

from stream_omni.cosyvoice_checkpoint import CONFIGURATION, SPEECH_TOKENIZER, VOICES
from stream_omni_demo.checkpoint.folders import Folders
from stream_omni_demo.sizes import DEMO, SYSTEM_PROMPT
from stream_omni_demo.world.vocabulary import demo_token_roles, demo_tokenizer

DTYPE = torch.float16  # of every tensor but the voices: half the bytes; readers make float32 of it


@dataclass(frozen=True)
class Contents:
    """``tensors`` by source ("model", "flow", "hift") and name; ``voices``: speaker embeddings [1, speaker size];
    ``speech_tokenizer``: an ONNX file."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    voices: Mapping[str, Tensor]
    speech_tokenizer: Path


def write_checkpoint(folders: Folders, contents: Contents) -> None:
    """Replaces what is there. Raises ValueError for a tensor that half precision cannot hold."""
    tensors = {source: _rounded(values) for source, values in contents.tensors.items()}
    language, cosyvoice = (_emptied(folder) for folder in (folders.language, folders.cosyvoice))
    tokenizer = demo_tokenizer()
    write_language_settings(
        language,
        DEMO,
        demo_token_roles(tokenizer),
        tokenizer,
        system_prompt=SYSTEM_PROMPT,
        default_voice=next(iter(contents.voices)),
        mm_patch_merge_type="flat",
    )
    save_file(tensors["model"], language / "model.safetensors", metadata={"format": "pt"})
    (cosyvoice / CONFIGURATION).write_text(cosyvoice_yaml(DEMO.cosyvoice, DEMO.units), encoding="utf-8")
    for source in ("flow", "hift"):
        torch.save(tensors[source], cosyvoice / f"{source}.pt")
    torch.save({name: {"embedding": voice} for name, voice in contents.voices.items()}, cosyvoice / VOICES)
    shutil.copyfile(contents.speech_tokenizer, cosyvoice / SPEECH_TOKENIZER)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in tensors.items():
        found[name] = tensor.detach().to(DTYPE).contiguous()
        if not bool(found[name].isfinite().all()):
            raise ValueError(f"{name} reaches {float(tensor.abs().max()):g}, which half precision does not hold")
    return found
