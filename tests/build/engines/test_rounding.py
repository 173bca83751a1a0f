"""Whose errors are they, those of a precision or ours? And does the tolerance that follows refuse what is wrong?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stream_omni_build.backbone import write_backbone
from stream_omni_build.engines.yardstick import SessionRunner
from stream_omni_build.plain_llama import STACKS, PlainRuntime, inverse_frequencies
from stream_omni_build.progress import silent

from stream_omni.networks.llama import rope_frequencies
from stream_omni.runtime.memory import memory_of
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.torch_runtime import Device, TorchRuntime
from stream_omni.tensor_files import CheckpointTensors
from tests.build.engines.rounding import Recorded
from tests.build.engines.wrong_engines import WRONG

DEMO = Path(__file__).parents[3] / "build" / "demo" / "checkpoint"


@pytest.fixture(scope="module", params=["random", pytest.param("trained", marks=pytest.mark.engines)])
def recorded(
    request: pytest.FixtureRequest, random_checkpoint: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Recorded:
    """The tiny random checkpoint, whose attention is sharp and whose layers say nothing; and the demo's."""
    trained = DEMO / "stream-omni-demo", DEMO / "cosyvoice-demo"
    checkpoints = random_checkpoint if request.param == "random" else trained
    return Recorded.make(*checkpoints, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("name", STACKS)
def test_the_plain_pass_is_the_networks_in_fp32(recorded: Recorded, name: str) -> None:
    """Down to each layer's keys and values: two ways to write the same down, without a line in common."""
    plain = PlainRuntime(recorded.workshop.info, recorded.workshop.sources["model"], "fp32").session(name)
    errors = recorded.errors(name, SessionRunner(plain, recorded.graph(name)))
    if labels := errors.pop("ctc_ids", None):
        assert labels.together < 0.02
    assert len(errors) > 2 * recorded.layers(name)
    assert max(off.worst for off in errors.values()) < 1e-4, errors


def test_it_turns_slow_frequencies_as_llama_does(recorded: Recorded) -> None:
    llama = recorded.workshop.info.llama
    ours = torch.tensor(rope_frequencies(llama.rope, llama.head_size))
    torch.testing.assert_close(inverse_frequencies(llama.rope, llama.head_size), ours)


@pytest.mark.parametrize("precision", ["bf16", "int8", "fp8"])
@pytest.mark.parametrize("name", STACKS)
def test_an_engines_graph_loses_no_more_than_the_plain_pass_allows(
    recorded: Recorded, name: str, precision: str
) -> None:
    errors = recorded.errors(name, recorded.engine(name, precision))
    assert recorded.beyond(name, precision, errors, recorded.lost(name, precision)) <= 1


@pytest.mark.parametrize("name", STACKS)
def test_pytorch_in_bf16_neither(recorded: Recorded, name: str) -> None:
    errors = recorded.errors(name, recorded.on_torch(name, "bf16"))
    assert recorded.beyond(name, "bf16", errors, recorded.lost(name, "bf16")) <= 1


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", STACKS)
def test_a_wrong_engine_is_refused(recorded: Recorded, name: str, what: str) -> None:
    """Wrong in one layer, the first or the last, and without any rounding that would add to it."""
    if what == "two heads swapped" and recorded.has_twin_heads(name):
        pytest.skip("the heads of the demo's LLM are copies of one another: nothing is wrong with swapping them")
    for layer in {0, recorded.layers(name) - 1}:
        errors = recorded.errors(name, recorded.wrong(name, what, layer))
        for precision in ("bf16", "int8"):
            assert recorded.beyond(name, precision, errors, recorded.lost(name, precision)) > 1, (layer, precision)


def logits_of(llm: Session, recorded: Recorded, ids: Array) -> Array:
    """[text ids] after the last of ``ids`` [T]."""
    llama, memory = recorded.workshop.info.llama, memory_of(llm)
    shape = (1, llama.kv_heads, 128, llama.head_size)
    inputs = {
        "ids": ids[None],
        "embeds": np.zeros((1, len(ids), llama.hidden), np.float32),
        "positions": np.arange(len(ids))[None],
        "rows": np.array([0]),
    }
    found: Array = llm.run(inputs, [memory.caches(shape) for _ in range(2 * llama.llm_layers)])["logits"][0]
    return found


def off_by(found: Array, exact: Array) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def test_transformers_loses_as_much(recorded: Recorded, tmp_path: Path) -> None:
    """Its Llama of the exported backbone, in bf16 as it is published: ours is off no more than that, and the plain pass
    is off as much."""
    transformers = pytest.importorskip("transformers", reason="of the extra `dev`")
    info, tensors = recorded.workshop.info, CheckpointTensors(recorded.checkpoint)
    write_backbone(info, tensors, tmp_path, silent())
    asked = [np.random.default_rng(seed).integers(0, info.vocabulary.text_size, 60) for seed in range(4)]
    exact_llm = TorchRuntime(recorded.checkpoint).session("llm")
    exact = np.stack([logits_of(exact_llm, recorded, ids) for ids in asked])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    with torch.inference_mode():
        theirs = model(torch.from_numpy(np.stack(asked))).logits[:, -1].float().numpy()
    found = {"theirs": off_by(theirs, exact)}
    for name, runtime in (
        ("ours", TorchRuntime(recorded.checkpoint, device=Device("cpu", torch.bfloat16))),
        ("plain", PlainRuntime(info, tensors, "bf16")),
    ):
        found[name] = off_by(np.stack([logits_of(runtime.session("llm"), recorded, ids) for ids in asked]), exact)
    assert found["ours"] < 1.25 * found["theirs"], found
    assert 0.67 < found["plain"] / found["theirs"] < 1.5, found
