"""A checkpoint in shards is served like the same one in a single file: the same answers to the byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from stream_omni.serving.launcher import TritonServer
from tests.serving.raw_client import Answered, ask, picture, tone

from .conftest import run_build

TURN: dict[str, Any] = {
    "audio": tone(),
    "image": [picture()],
    "output": "speech",
    "max_tokens": 12,
    "max_audio_ms": 2000,
    "temperature": 0.8,
    "seed": 7,
}


def test_shards_and_a_single_file_give_the_same_answer(
    url: str, random_checkpoint: tuple[Path, Path], tmp_path: Path
) -> None:
    language, cosyvoice = random_checkpoint
    sharded = Path(shutil.copytree(language, tmp_path / language.name))
    split(sharded)
    assert run_build((sharded, cosyvoice), tmp_path / "built") == 0
    with (tmp_path / "server.log").open("w") as log, TritonServer(tmp_path / "built", log=log) as server:
        assert said(ask(server.grpc_url, **TURN)) == said(ask(url, **TURN))


def split(checkpoint: Path) -> None:
    """Its tensors into three files and an index."""
    single = checkpoint / "model.safetensors"
    tensors = load_file(single)
    places = {name: f"model-{number % 3 + 1:05}-of-00003.safetensors" for number, name in enumerate(sorted(tensors))}
    for shard in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == shard}, checkpoint / shard)
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    single.unlink()


def said(answered: Answered) -> tuple[str, str, list[int], bytes]:
    assert answered.error is None and answered.units
    return answered.joined("transcript"), answered.joined("text"), answered.units, answered.samples.tobytes()
