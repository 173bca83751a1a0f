"""Deployment profiles: what the shipped ones say, and how a mistaken one is refused."""

from pathlib import Path

import pytest
from stream_omni_build.deployment import FOLDER, DeploymentError, read_deployment, shipped


def test_the_four_profiles_are_shipped() -> None:
    assert shipped() == ["gpu-1", "gpu-1-24g", "gpu-2", "gpu-torch"]


@pytest.mark.parametrize("name", ["gpu-1", "gpu-1-24g", "gpu-2", "gpu-torch"])
def test_a_shipped_profile_is_valid(name: str) -> None:
    found = read_deployment(name)
    assert found.name == name
    assert found.stages["llm"].batch == found.stages["speech_top"].batch == found.turns
    assert {stage.gpu for stage in found.stages.values()} == set(range(found.gpus))


def test_the_small_gpu_keeps_large_matrices_in_8_bits() -> None:
    stages = read_deployment("gpu-1-24g").stages
    assert {stages[name].precision for name in ("speech_bottom", "llm", "speech_top")} == {"int8"}


def test_gpu_torch_builds_nothing() -> None:
    assert {stage.engine for stage in read_deployment("gpu-torch").stages.values()} == {"torch", "onnxruntime"}


def test_a_file_is_taken_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text((FOLDER / "gpu-1.toml").read_text().replace("turns = 16 ", "turns = 3 "))
    found = read_deployment(str(tmp_path / "mine.toml"))
    assert (found.name, found.turns, found.stages["llm"].batch) == ("mine", 3, 3)


MISTAKES = {
    "a key that means nothing": ("turns = 16 ", "turns = 16\nspeed = 3 ", "[limits] has no use for speed"),
    "a key that is missing": ("turns = 16 ", "# ", "[limits] needs turns"),
    "a number that cannot be": ("turns = 16 ", "turns = 0 ", "[limits] turns is 0; it must be a whole number above 0"),
    "truth for a number": ("turns = 16 ", "turns = true ", "[limits] turns is True"),
    "steps longer than prompts": (
        "prefill_positions = 512",
        "prefill_positions = 9000",
        "more than prompt_positions 8192",
    ),
    "steps too short": ("prefill_positions = 512", "prefill_positions = 63", "is 63; a prompt is read in pieces of 64"),
    "a table that is none": ("[graphs]", "[graph]", "there is no table [graph]"),
    "a stage that is none": ("[stages.vocoder]", "[stages.vocodr]", "there is no stage 'vocodr'"),
    "a stage that is missing": ("[stages.vocoder]", "[stages.vocodr]", "[stages.vocoder] is missing"),
    "an engine of another stage": (
        'engine = "onnxruntime"',
        'engine = "tensorrt-llm"',
        "[stages.speech_tokenizer] engine is 'tensorrt-llm'; it can be onnxruntime",
    ),
    "8 bits where nothing is large": (
        'precision = "fp16" # fp16 of this flow',
        'precision = "int8" # ',
        "[stages.cosyvoice_flow] precision is 'int8'; tensorrt can run it in fp32, bf16, fp16",
    ),
    "a batch of turns": ("[stages.llm]", "[stages.llm]\nbatch = 4", "[stages.llm] takes no batch"),
    "a GPU that is not there": ("[stages.llm]", "[stages.llm]\ngpu = 1", "[stages.llm] gpu is 1; there are 0 to 0"),
    "chunks that shrink": ("growth = 1.25", "growth = 0.5", "[chunks] chunks must not shrink"),
    "a chunk key that is none": ("growth = 1.25", "grows = 1.25", "[chunks]"),
    "a choice that is none": ("only_units = true", 'only_units = "yes"', "[graphs] must hold only_units"),
    "no TOML": ("[limits]", "[limits", "is no TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str, tmp_path: Path) -> None:
    right, wrong, message = MISTAKES[mistake]
    text = (FOLDER / "gpu-1.toml").read_text()
    assert right in text
    (tmp_path / "wrong.toml").write_text(text.replace(right, wrong))
    with pytest.raises(DeploymentError) as caught:
        read_deployment(str(tmp_path / "wrong.toml"))
    assert message in str(caught.value)
    assert "wrong.toml" in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = (FOLDER / "gpu-1.toml").read_text().replace("turns = 16 ", "# ").replace("count = 1", "count = 0")
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(DeploymentError, match=r"\[gpus\] count is 0.*\[limits\] needs turns"):
        read_deployment(str(tmp_path / "wrong.toml"))


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(DeploymentError, match=r"give one of gpu-1, gpu-1-24g, gpu-2, gpu-torch, or a \.toml file"):
        read_deployment("gpu-9")
