"""`stream-omni build random`: a random checkpoint of the real layout, for tests, benchmarks and real-size trials."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from stream_omni_build.checkpoint_settings import write_json, write_language_settings
from stream_omni_build.cosyvoice_tensors import flow_tensors, vocoder_tensors, voice_tensors
from stream_omni_build.language_tensors import language_tensors
from stream_omni_build.random_configs import cosyvoice_yaml, model_config
from stream_omni_build.random_sizes import SIZES, RandomSize
from stream_omni_build.random_speech_tokenizer import SECTION as SPEECH_TOKENIZER
from stream_omni_build.random_speech_tokenizer import speech_tokenizer_tensors, write_speech_tokenizer
from stream_omni_build.random_tensors import RandomTensor, draw
from stream_omni_build.random_tokenizer import TokenRoles, token_roles, tokenizer_config, train_tokenizer
from stream_omni_build.safetensors_writer import write_model

DESCRIPTION = """\
Write DIR/stream-omni-SIZE and DIR/cosyvoice-SIZE: a checkpoint with the files, key names and interfaces of the real
one, and random weights. It answers in random words and speaks noise, but all of the system runs on it.

  tiny   5 MB, a vocabulary of 1,536: for tests and for looking at the layout
  mid    0.9 GB, the full vocabulary of 132,352, answers that always reach their limit: for benchmarks
  8b     26 GB, the real shapes, written in bounded memory: for trying out a real-size build
  8b-short  13 GB, the same with 2 of the LLM's 32 layers: for a smaller disk

The same size and seed give the same bytes. A checkpoint that is already there is kept.
"""
EPILOG = """\
example:
  stream-omni build random --size tiny --out checkpoints
  stream-omni build --checkpoint checkpoints/stream-omni-tiny --cosyvoice checkpoints/cosyvoice-tiny \\
                    --target cpu --out served
"""
RECIPE = "random_checkpoint.json"
DEFAULT_SEED = 5  # tiny's answers to the demo's question are of a good length with it
_REPORT_EVERY_S = 5.0


class RefusedError(Exception):
    """The checkpoint cannot be written where it was asked for; the message says what to do."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="stream-omni build random",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", required=True, choices=sorted(SIZES), help="which geometry (see above)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder that gets the two checkpoints")
    parser.add_argument(
        "--seed",
        type=_seed,
        default=DEFAULT_SEED,
        metavar="N",
        help="another seed, other weights (default %(default)s)",
    )
    arguments = parser.parse_args(argv)
    try:
        for folder in write_random_checkpoint(SIZES[arguments.size], arguments.out, arguments.seed):
            print(folder)
    except (RefusedError, OSError) as error:
        print(f"stream-omni build random: {error}", file=sys.stderr)
        return 1
    return 0


def write_random_checkpoint(size: RandomSize, out: Path, seed: int) -> tuple[Path, Path]:
    """Both folders, complete. A folder of the same recipe is kept as it is; other content raises `RefusedError`.

    Each folder is written under another name and renamed when complete, so an interrupted run leaves nothing that
    looks like a checkpoint.
    """
    tokenizer = train_tokenizer(size)
    roles = token_roles(tokenizer, size)
    language, cosyvoice = out / f"stream-omni-{size.name}", out / f"cosyvoice-{size.name}"
    recipe = _recipe(size, roles, tokenizer, seed)
    missing = [folder for folder in (language, cosyvoice) if not _is_there(folder, recipe)]
    if language in missing:
        tensors = language_tensors(size, roles)
        _require_space(out, sum(t.size for t in tensors) * np.dtype(size.dtype).itemsize)
        _complete(language, recipe, lambda folder: _write_language(folder, size, roles, tokenizer, tensors, seed))
    if cosyvoice in missing:
        _complete(cosyvoice, recipe, lambda folder: _write_cosyvoice(folder, size, seed))
    return language, cosyvoice


def _write_language(
    folder: Path, size: RandomSize, roles: TokenRoles, tokenizer: Tokenizer, tensors: list[RandomTensor], seed: int
) -> None:
    write_language_settings(folder, size, roles, tokenizer)
    total = sum(t.size for t in tensors) * np.dtype(size.dtype).itemsize
    write_model(folder, tensors, size.dtype, size.shard_bytes, seed, _Progress(total))


def _write_cosyvoice(folder: Path, size: RandomSize, seed: int) -> None:
    sizes = size.cosyvoice

    def tensors(file: str, table: list[RandomTensor]) -> dict[str, torch.Tensor]:
        return {t.name: torch.from_numpy(draw(t, file, seed)) for t in table}

    (folder / "cosyvoice.yaml").write_text(cosyvoice_yaml(sizes, size.units), encoding="utf-8")
    torch.save(tensors("flow.pt", flow_tensors(sizes, size.units)), folder / "flow.pt")
    torch.save(tensors("hift.pt", vocoder_tensors(sizes)), folder / "hift.pt")
    voices = {name: {"embedding": e} for name, e in tensors("spk2info.pt", voice_tensors()).items()}
    torch.save(voices, folder / "spk2info.pt")
    write_speech_tokenizer(folder / SPEECH_TOKENIZER, size.units, seed)


def _recipe(size: RandomSize, roles: TokenRoles, tokenizer: Tokenizer, seed: int) -> dict[str, Any]:
    """What the content follows from, for telling whether a folder already has it."""
    parts = (
        language_tensors(size, roles),
        flow_tensors(size.cosyvoice, size.units),
        vocoder_tensors(size.cosyvoice),
        voice_tensors(),
        speech_tokenizer_tensors(size.units),
        model_config(size, roles),
        cosyvoice_yaml(size.cosyvoice, size.units),
        tokenizer_config(size),
        tokenizer.to_str(),
    )
    digest = hashlib.sha256(repr((size, parts)).encode()).hexdigest()
    return {"made_by": "stream-omni build random", "size": size.name, "seed": seed, "recipe": digest}


def _is_there(folder: Path, recipe: dict[str, Any]) -> bool:
    """Whether ``folder`` already is what shall be written; refuses to touch anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = folder / RECIPE
    if not found.is_file():
        raise RefusedError(f"{folder} exists and is no random checkpoint: choose another --out, or remove it")
    if json.loads(found.read_text(encoding="utf-8")) != recipe:
        raise RefusedError(f"{folder} was made with another seed or version: choose another --out, or remove it")
    return True


def _complete(folder: Path, recipe: dict[str, Any], write: Callable[[Path], None]) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an interrupted run
    partial.mkdir(parents=True)
    try:
        write(partial)
        write_json(partial / RECIPE, recipe)
        if folder.exists():
            folder.rmdir()  # empty, as _is_there found
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_space(out: Path, needed_bytes: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(out).free
    if free_bytes < needed_bytes * 1.05:
        raise RefusedError(
            f"{out} has {free_bytes / 1e9:.1f} GB free, the checkpoint needs {needed_bytes / 1e9:.1f} GB"
        )


class _Progress:
    """Says on stderr how far a long write is."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes, self.written_bytes, self.said_at = total_bytes, 0, time.monotonic()

    def __call__(self, file: str, written_bytes: int) -> None:
        self.written_bytes += written_bytes
        if time.monotonic() - self.said_at >= _REPORT_EVERY_S:
            self.said_at = time.monotonic()
            print(f"{file}: {self.written_bytes / 1e9:.1f} of {self.total_bytes / 1e9:.1f} GB", file=sys.stderr)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 and below 2^63, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
