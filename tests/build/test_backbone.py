"""The backbone is the same Llama to transformers as to us, and is written in memory that does not grow with it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stream_omni_build.backbone import backbone_shapes, write_backbone
from stream_omni_build.checkpoint_settings import write_language_settings
from stream_omni_build.language_tensors import language_tensors
from stream_omni_build.progress import silent
from stream_omni_build.random_sizes import TINY, RandomSize
from stream_omni_build.random_tokenizer import token_roles, train_tokenizer
from stream_omni_build.safetensors_writer import write_model

from stream_omni.checkpoint import read_model_info
from stream_omni.checkpoint_files import CheckpointError
from stream_omni.networks import make_network
from stream_omni.networks.weights import load_weights
from stream_omni.tensor_files import CheckpointTensors

SHARD_BYTES = 200_000  # several shards of the tiny checkpoint


@pytest.fixture(scope="module")
def backbone(random_checkpoint: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("backbone")
    checkpoint, _ = random_checkpoint
    write_backbone(read_model_info(checkpoint), CheckpointTensors(checkpoint), out, silent(), SHARD_BYTES)
    return out


def test_it_holds_the_checkpoints_own_values_in_several_shards(
    backbone: Path, random_checkpoint: tuple[Path, Path]
) -> None:
    source, written = CheckpointTensors(random_checkpoint[0]), CheckpointTensors(backbone)
    assert len(list(backbone.glob("model-*-of-*.safetensors"))) > 1
    assert written.shapes() == backbone_shapes(read_model_info(random_checkpoint[0]))
    for name in written.shapes():
        assert np.array_equal(written.get(name), source.get(name))
        assert written.stored(name).kind == source.stored(name).kind


def test_transformers_gives_the_same_logits(backbone: Path, random_checkpoint: tuple[Path, Path]) -> None:
    transformers = pytest.importorskip("transformers", reason="of the extra `dev`")
    model = transformers.AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbone)
    ids = torch.tensor([tokenizer("What colour is the cat on the left?", add_special_tokens=False)["input_ids"]])
    assert ids.shape[1] > 5
    with torch.no_grad():
        theirs = model(ids).logits[0, -1]
    ours = our_logits(random_checkpoint[0], ids)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert int(ours.argmax()) == int(theirs.argmax())
    assert model.generation_config.eos_token_id == list(read_model_info(random_checkpoint[0]).vocabulary.eos)


def our_logits(checkpoint: Path, ids: torch.Tensor) -> torch.Tensor:
    """Of the last position."""
    info = read_model_info(checkpoint)
    network = make_network("llm", info)
    load_weights(network, CheckpointTensors(checkpoint))
    caches = [torch.zeros(1, info.llama.kv_heads, 128, info.llama.head_size) for _ in range(2 * info.llama.llm_layers)]
    embeds, positions = torch.zeros(1, ids.shape[1], info.llama.hidden), torch.arange(ids.shape[1])[None]
    with torch.no_grad():
        return network(ids, embeds, positions, torch.tensor([0]), *caches)[1][0]


def test_far_positions_turn_the_same_way(random_checkpoint: tuple[Path, Path]) -> None:
    """Where Llama 3.1's scaling of the slow frequencies shows."""
    transformers = pytest.importorskip("transformers", reason="of the extra `dev`")
    from stream_omni_build.backbone import llama_config

    from stream_omni.networks.llama import rope_frequencies

    info = read_model_info(random_checkpoint[0])
    config = transformers.LlamaConfig(**llama_config(info, "float32"))
    theirs = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config).inv_freq
    ours = torch.tensor(rope_frequencies(info.llama.rope, info.llama.head_size))
    assert info.llama.rope.factor == 8.0
    torch.testing.assert_close(ours, theirs)


def test_a_checkpoint_that_lacks_a_tensor(random_checkpoint: tuple[Path, Path], tmp_path: Path) -> None:
    info = read_model_info(random_checkpoint[0])
    more = dataclasses.replace(info, llama=dataclasses.replace(info.llama, llm_layers=5))
    with pytest.raises(CheckpointError, match=r"lacks.* model.layers.4.mlp.down_proj.weight \[64, 128\]"):
        write_backbone(more, CheckpointTensors(random_checkpoint[0]), tmp_path, silent())


# A process of its own: a peak of memory is one of its whole life.
MEASURE = """
import resource, sys
from pathlib import Path
from stream_omni.checkpoint import read_model_info
from stream_omni.tensor_files import CheckpointTensors
from stream_omni_build.backbone import write_backbone
from stream_omni_build.progress import silent
checkpoint, out = map(Path, sys.argv[1:])
info, tensors = read_model_info(checkpoint), CheckpointTensors(checkpoint)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_backbone(info, tensors, out, silent())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_checkpoint(tmp_path: Path) -> None:
    """40 and 140 MB, in 4 and 16 layers."""
    grown_mb = []
    for layers in (4, 16):
        checkpoint = wide_checkpoint(tmp_path / f"layers-{layers}", layers)
        command = [sys.executable, "-c", MEASURE, str(checkpoint), str(tmp_path / f"backbone-{layers}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        grown_mb.append(int(done.stdout) / 1024)
        index = json.loads((tmp_path / f"backbone-{layers}" / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] > 7e6 * layers
    assert max(grown_mb) < 40, grown_mb


def wide_checkpoint(folder: Path, layers: int) -> Path:
    """About 9 MB a layer."""
    llama = dataclasses.replace(TINY.llama, hidden=512, intermediate=2048, head_size=128, llm_layers=layers)
    size: RandomSize = dataclasses.replace(TINY, llama=llama, dtype="float16")
    tokenizer = train_tokenizer(size)
    roles = token_roles(tokenizer, size)
    folder.mkdir()
    write_language_settings(folder, size, roles, tokenizer)
    write_model(folder, language_tensors(size, roles), size.dtype, None, 5, lambda name, done: None)
    return folder
