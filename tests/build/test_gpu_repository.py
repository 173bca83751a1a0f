"""The model repository of every GPU profile: known to Triton, and connected without a gap."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from stream_omni_build.deployment import GRAPHS_OF, read_deployment, shipped
from stream_omni_build.gpu_repository import deployed, link_checkpoints, place_plans, plans_of, render_deployment
from stream_omni_build.repository import ProfileError, find_profile, render_repository
from tritonclient.grpc import model_config_pb2

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.torch_runtime import TorchRuntime
from stream_omni.serving.stage_runtime import Chosen
from stream_omni.serving.stages import TILES_IN_A_CALL

PROFILES = ["cpu", *shipped()]
Configs = dict[str, Any]


def rendered(profile: str, info: ModelInfo, out: Path) -> Configs:
    if profile == "cpu":
        render_repository(find_profile("cpu"), info, ["a"], out)
    else:
        deployment = read_deployment(profile)
        render_deployment(deployment, deployed(info, deployment), ["a"], out)
    configs = {}
    for folder in sorted((out / "model_repository").iterdir()):
        text = (folder / "config.pbtxt").read_text(encoding="utf-8")
        assert "${" not in text
        configs[folder.name] = text_format.Parse(text, model_config_pb2.ModelConfig())  # unknown fields fail
    return configs


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def configs(profile: str, voice_info: ModelInfo, tmp_path_factory: pytest.TempPathFactory) -> Configs:
    return rendered(profile, voice_info, tmp_path_factory.mktemp(profile))


def tensors(config: Any, which: str) -> dict[str, tuple[int, list[int]]]:
    """Name: type and shape as a caller sees it, with a batch axis where the model has one."""
    batch = [-1] if config.max_batch_size else []
    return {tensor.name: (tensor.data_type, batch + list(tensor.dims)) for tensor in getattr(config, which)}


def test_every_profile_has_the_same_models_with_the_same_names(configs: Configs, voice_info: ModelInfo) -> None:
    assert {"stream_omni", "prepare", "answer", "token2wav", "turn", *GRAPHS_OF} == configs.keys()
    assert all(config.name == name for name, config in configs.items())


def test_connected_stages_agree_in_name_type_and_shape(configs: Configs) -> None:
    """Within the ensembles, for every tensor that goes in, from step to step, and out."""
    ensembles = [config for config in configs.values() if config.platform == "ensemble"]
    assert len(ensembles) == 2
    for ensemble in ensembles:
        known = tensors(ensemble, "input")
        for step in ensemble.ensemble_scheduling.step:
            model = configs[step.model_name]
            takes, gives = tensors(model, "input"), tensors(model, "output")
            assert step.input_map.keys() == takes.keys()
            for name, source in step.input_map.items():
                assert known[source] == takes[name], (ensemble.name, step.model_name, name)
            known |= {target: gives[name] for name, target in step.output_map.items()}
        for name, tensor in tensors(ensemble, "output").items():
            assert known[name] == tensor, (ensemble.name, name)


# what the front door, or a step of the ensemble, hands from one stage to another: (stage, output) -> (stage, input)
CONNECTIONS = [
    (("vision_encoder", "projected"), ("llm", "embeds")),  # a tile's patches are rows of the prompt
    (("speech_bottom", "hidden"), ("speech_top", "hidden")),
    (("speech_bottom", "keys_values"), ("speech_top", "keys_values")),
    (("speech_bottom", "soft_embeds"), ("llm", "embeds")),
    (("cosyvoice_flow", "mel"), ("vocoder", "mel")),
    (("cosyvoice_flow", "mel"), ("cosyvoice_flow", "earlier")),  # of the next chunk
    (("vocoder", "next_phase"), ("vocoder", "phase")),
]


@pytest.mark.parametrize("connection", CONNECTIONS, ids=lambda c: f"{c[0][0]}.{c[0][1]}-{c[1][0]}.{c[1][1]}")
def test_what_one_stage_gives_another_takes(configs: Configs, connection: Any) -> None:
    (giver, output), (taker, wanted) = connection
    (given, given_shape), (taken, taken_shape) = (
        tensors(configs[giver], "output")[output],
        tensors(configs[taker], "input")[wanted],
    )
    assert given == taken
    tail = given_shape[-len(taken_shape) :]
    assert all(a == b or -1 in (a, b) for a, b in zip(tail, taken_shape, strict=True))
    assert tail[-1] == taken_shape[-1]  # the axis that is not counted in tokens or frames


def test_stages_are_the_same_to_their_callers_whatever_runs_them(
    profile: str, configs: Configs, voice_info: ModelInfo, tmp_path: Path
) -> None:
    on_cpu = rendered("cpu", voice_info, tmp_path)
    for name, config in configs.items():
        assert tensors(config, "input") == tensors(on_cpu[name], "input")
        outputs, due = tensors(config, "output"), tensors(on_cpu[name], "output")
        assert outputs.items() >= due.items()
        assert outputs.keys() - due.keys() <= ({"features"} if name == "vision_encoder" else set())


def test_instances_run_where_the_deployment_says(profile: str, configs: Configs) -> None:
    if profile == "cpu":
        assert all(group.kind == group.KIND_CPU for c in configs.values() for group in c.instance_group)
        return
    deployment = read_deployment(profile)
    for name, stage in deployment.stages.items():
        (group,) = configs[name].instance_group
        if stage.engine == "onnxruntime":
            assert group.kind == group.KIND_CPU
        else:
            assert (group.kind, list(group.gpus), group.count) == (group.KIND_GPU, [stage.gpu], stage.instances)
    assert {name for name, config in configs.items() if config.platform == "tensorrt_plan"} == set(plans_of(deployment))


def test_python_stages_know_what_runs_their_graphs(profile: str, configs: Configs) -> None:
    for name in GRAPHS_OF:
        config = configs[name]
        if config.backend != "python":
            continue
        chosen = Chosen(**json.loads(config.parameters["runtime"].string_value))
        if profile == "cpu":
            assert chosen == Chosen()
        else:
            stage = read_deployment(profile).stages[name]
            assert (chosen.engine, chosen.precision) == (stage.engine, stage.precision)
            assert chosen.chunk_tokens == read_deployment(profile).prefill_positions


def test_a_plan_has_the_tensors_of_its_graph(voice_info: ModelInfo, tmp_path: Path) -> None:
    """With the batch axis, which the configuration leaves out."""
    config = rendered("gpu-1", voice_info, tmp_path)["vision_encoder"]
    graph = graphs(voice_info)["vision_encoder"]
    types = {"float32": model_config_pb2.TYPE_FP32}
    for which, described in (("input", graph.inputs), ("output", graph.outputs)):
        due = {t.name: (types[t.dtype], [-1 if isinstance(a, str) else a for a in t.axes]) for t in described}
        assert tensors(config, which) == due
    assert config.max_batch_size >= TILES_IN_A_CALL and config.HasField("dynamic_batching")


def test_tiles_that_come_in_one_call_fit_one_run(voice_info: ModelInfo, tmp_path: Path) -> None:
    deployment = read_deployment("gpu-1")
    vision = dataclasses.replace(deployment.stages["vision_encoder"], batch=TILES_IN_A_CALL - 1)
    narrow = dataclasses.replace(deployment, stages={**deployment.stages, "vision_encoder": vision})
    with pytest.raises(ProfileError, match="batch of vision_encoder is 3; a call brings 4 tiles"):
        render_deployment(narrow, voice_info, ["a"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_deployment_bounds_what_can_be_asked(voice_info: ModelInfo, tmp_path: Path) -> None:
    deployment = read_deployment("gpu-1-24g")
    long = dataclasses.replace(voice_info, context_tokens=131_072, screened_heads=True)
    info = deployed(long, deployment)
    assert info.context_tokens == deployment.positions and not info.screened_heads
    front = rendered("gpu-1-24g", long, tmp_path)["stream_omni"]
    limits = json.loads(front.parameters["info"].string_value)["limits"]
    assert limits["max_tokens"] == deployment.answer_positions
    assert limits["max_audio_out_ms"] == 40 * deployment.answer_positions
    assert json.loads(front.parameters["capacity"].string_value) == deployment.turns


def test_plans_and_checkpoints_are_put_in_place(
    voice_info: ModelInfo, tiny_checkpoint: Path, tiny_cosyvoice: Path, tmp_path: Path
) -> None:
    deployment = read_deployment("gpu-1")
    render_deployment(deployment, voice_info, ["a"], tmp_path)
    (tmp_path / "engines").mkdir()
    for content in (b"old", b"new"):  # a second build puts its own there
        (tmp_path / "engines" / "vision_encoder.plan").unlink(missing_ok=True)
        (tmp_path / "engines" / "vision_encoder.plan").write_bytes(content)
        place_plans(deployment, {"vision_encoder": "vision_encoder.plan"}, tmp_path)
        assert (tmp_path / "model_repository" / "vision_encoder" / "1" / "model.plan").read_bytes() == content
    for _ in range(2):
        link_checkpoints(tiny_checkpoint, tiny_cosyvoice, tmp_path)
    assert TorchRuntime(tmp_path / "checkpoint", tmp_path / "cosyvoice").info.flow is not None
