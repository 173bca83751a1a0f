"""What must be computed and read, against counts that were made another way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arithmetic import first_unit_operations, step_bytes
from benchmarks.own_loop import OwnLoop
from benchmarks.spoken_prompts import spoken_prompt
from stream_omni.assets import Assets
from stream_omni.graphs import graphs
from stream_omni.runtime.torch_runtime import TorchRuntime


def test_the_operations_to_the_first_unit(built_directory: Path) -> None:
    """PyTorch counts what its matrix products really do, here masked attention to unused cache positions as well."""
    random_checkpoint = built_directory.parent / "stream-omni-tiny"
    if not random_checkpoint.is_dir():
        pytest.skip("the checkpoint of the built directory is elsewhere")
    runtime, assets = TorchRuntime(random_checkpoint), Assets.load(built_directory)
    runtime.info = dataclasses.replace(runtime.info, only_units=assets.info.only_units)
    loop, asked = OwnLoop(runtime, assets), spoken_prompt(assets, 40, picture=True, seed=0)
    with FlopCounterMode(display=False) as counter:
        list(loop.speak(asked, max_units=1))
    rows = sum(map(len, loop.pictures))
    least = first_unit_operations(assets.info, len(asked.prompt.spoken_ids), rows, 1, len(loop.text_ids))
    assert least <= counter.get_total_flops() < 1.6 * least


@pytest.mark.parametrize("graph", ["speech_bottom_step", "speech_top", "llm"])
def test_a_step_reads_weights_once_but_not_its_tables(built_directory: Path, graph: str) -> None:
    info, folder = Assets.load(built_directory).info, built_directory / "graphs"
    llama, vocabulary, hidden = info.llama, info.vocabulary, info.llama.hidden
    narrow = llama.kv_heads * llama.head_size
    block = hidden * (2 * hidden + 2 * narrow + 3 * llama.intermediate + 2)
    layers, head, table_rows = {
        "speech_bottom_step": (llama.bottom_layers * block, vocabulary.text_size, 1),
        "speech_top": (llama.top_layers * (block + 4 * hidden * hidden), len(info.speech_ids), 5),
        "llm": (llama.llm_layers * block, vocabulary.text_size, 1),
    }[graph]
    weights = 4 * (layers + hidden + (head + table_rows) * hidden)
    assert step_bytes(folder, graph, info, positions=0) == pytest.approx(weights, rel=0.01)
    cached = step_bytes(folder, graph, info, positions=100) - step_bytes(folder, graph, info, positions=0)
    assert cached == 100 * 4 * narrow * 2 * graphs(info)[graph].cache_layers
