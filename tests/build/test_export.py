"""Exported graphs: their interface, their weights, and what they compute beside PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from stream_omni_build.export import export_graphs
from stream_omni_build.trace import OPSET

from stream_omni.graphs import Graph, graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.session import Session
from stream_omni.runtime.torch_runtime import TorchRuntime


@pytest.fixture(scope="module")
def models(built: Path) -> dict[str, onnx.ModelProto]:
    info = ModelInfo.load(built / "assets" / "model.json")
    return {name: onnx.load(built / "graphs" / f"{name}.onnx", load_external_data=False) for name in graphs(info)}


def test_graphs_have_the_declared_interface_in_opset_18(built: Path, models: dict[str, onnx.ModelProto]) -> None:
    for name, graph in graphs(ModelInfo.load(built / "assets" / "model.json")).items():
        model = models[name]
        assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
        assert [i.name for i in model.graph.input] == [*(t.name for t in graph.inputs), *graph.cache_names()]
        assert [o.name for o in model.graph.output] == [
            *(t.name for t in graph.outputs),
            *graph.updated_cache_names(),
        ]
        for tensor, value in zip(graph.inputs, model.graph.input, strict=False):
            assert tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim) == tensor.axes


def test_graphs_hold_no_weights_and_nothing_of_the_machine(built: Path, models: dict[str, onnx.ModelProto]) -> None:
    for name, model in models.items():
        assert all(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer)
        assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
        content = (built / "graphs" / f"{name}.onnx").read_bytes()
        assert len(content) < 1_000_000
        for place in (str(Path.cwd()), str(built), "site-packages", ".py"):
            assert place.encode() not in content
        # a matrix that is transposed as the graph loads would be in memory twice
        initializers = {t.name for t in model.graph.initializer}
        assert not [n.name for n in model.graph.node if n.op_type == "Transpose" and n.input[0] in initializers]


def test_graphs_share_the_tensors_that_they_have_in_common(built: Path, models: dict[str, onnx.ModelProto]) -> None:
    def places(name: str) -> set[tuple[str, ...]]:
        return {tuple(e.value for e in t.external_data) for t in models[name].graph.initializer}

    assert places("speech_bottom_step") < places("speech_bottom")
    assert places("speech_bottom") & places("llm")  # the text table
    lengths = {place: int(place[2]) for name in models for place in places(name)}
    files = sum(path.stat().st_size for path in (built / "graphs").glob("*.weights"))
    assert sum(lengths.values()) <= files < sum(lengths.values()) + 4096 * len(lengths)


def greedy_ids(session: Session, graph: Graph, info: ModelInfo, steps: int) -> tuple[list[list[int]], list[np.ndarray]]:
    """Two turns of different lengths, in slots 1 and 2 of four: their ids, and the caches [2 * layers, 4, ...]."""
    llama = info.llama
    shape = (4, llama.kv_heads, 32, llama.head_size)
    caches = [np.full(shape, i + 1, np.float32) for i, _ in enumerate(graph.cache_names())]
    slots = [cache[1:3] for cache in caches]
    ids, position = np.array([[5, 9, 7], [3, 3, 8]]), np.array([[0, 1, 2], [0, 1, 2]])
    found: list[list[int]] = []
    for _ in range(steps):
        embeds = np.zeros((*ids.shape, llama.hidden), np.float32)
        inputs = {"ids": ids, "embeds": embeds, "positions": position, "rows": np.array([0, 1])}
        ids = session.run(inputs, slots)["logits"].argmax(-1)[:, None]
        position = position[:, -1:] + np.array([[1], [1]])
        found.append(ids[:, 0].tolist())
    return found, caches


def test_in_place_steps_give_the_networks_ids_and_leave_other_slots_alone(
    random_checkpoint: tuple[Path, Path], built: Path
) -> None:
    exported, network = OnnxRuntime(built), TorchRuntime(*random_checkpoint)
    graph = graphs(exported.info)["llm"]
    wanted, expected_caches = greedy_ids(network.session("llm"), graph, network.info, steps=20)
    found, caches = greedy_ids(exported.session("llm"), graph, exported.info, steps=20)
    assert found == wanted
    for i, (cache, expected) in enumerate(zip(caches, expected_caches, strict=True)):
        np.testing.assert_allclose(cache, expected, atol=1e-4)
        untouched = np.concatenate([cache[[0, 3]].ravel(), cache[1:3, :, 22:].ravel()])
        assert (untouched == i + 1).all()
        assert (cache[1:3, :, :22] != i + 1).all()


def test_a_checkpoint_without_voice_exports_the_language_graphs(
    random_checkpoint: tuple[Path, Path], tmp_path: Path
) -> None:
    export_graphs(random_checkpoint[0], None, tmp_path)
    assert {p.stem for p in (tmp_path / "graphs").glob("*.onnx")} == {
        "llm",
        "speech_bottom",
        "speech_bottom_step",
        "speech_top",
        "vision_encoder",
    }
    runtime = OnnxRuntime(tmp_path)
    side = runtime.info.vision.image_size_px
    features = runtime.session("vision_encoder").run({"pixels": np.zeros((1, 3, side, side), np.float32)})
    assert features["projected"].shape == (1, runtime.info.vision.patches, runtime.info.llama.hidden)
