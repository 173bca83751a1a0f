"""The LLM's backbone, a plain Hugging Face Llama directory, to a TensorRT-LLM 1.2.1 engine.

What is used of TensorRT-LLM is listed, with where its source states it, in tests/fixtures/tensorrt_llm_api.json.
"""

from __future__ import annotations

import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni.tensorrt_llm_engine import TABLE
from stream_omni.weights import TensorSource
from stream_omni_build.deployment import Deployment

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "bfloat16", "fp8": "bfloat16"}
# 8-bit weights, and products of 8 bits with a scale for each token and output: neither needs examples to calibrate on
QUANTIZED = {"int8": "W8A16", "fp8": "FP8_PER_CHANNEL_PER_TOKEN"}
FP8_ACTIVATIONS = [-1200.0, 1200.0]  # are clamped to it, as TensorRT-LLM's own converter has it


def build_engine(backbone: Path, deployment: Deployment, scratch: Path, out: Path) -> None:
    """``out``/config.json and rank0.engine; ``scratch`` holds the converted checkpoint, as large as the backbone, and
    can be removed. Raises CalledProcessError where trtllm-build fails."""
    stage = deployment.stages["llm"]
    if not (scratch / "config.json").is_file():  # written last: a conversion that was interrupted is made again
        convert(backbone, stage.precision, scratch)
    subprocess.run(build_command(deployment, scratch, out), check=True)  # noqa: S603 (our own words)


def write_table(tensors: TensorSource, out: Path) -> None:
    """``out``/embed_tokens.npy: the rows that prompts are made of, which the engine does not give back."""
    np.save(out / TABLE, tensors.get("model.embed_tokens.weight"))


def convert(backbone: Path, precision: str, out: Path) -> None:
    models = import_module("tensorrt_llm.models")
    model = models.LLaMAForCausalLM.from_hugging_face(
        str(backbone),
        DTYPES[precision],
        mapping=import_module("tensorrt_llm.mapping").Mapping(),
        quant_config=_quant_config(precision),
    )
    model.save_checkpoint(str(out), save_config=True)


def _quant_config(precision: str) -> Any:
    config = import_module("tensorrt_llm.models.modeling_utils").QuantConfig()
    if precision in QUANTIZED:
        algorithms = import_module("tensorrt_llm.quantization").QuantAlgo
        config.quant_algo = algorithms[QUANTIZED[precision]]
    if precision == "fp8":
        config.clamp_val = FP8_ACTIVATIONS
    return config


def largest_run_positions(deployment: Deployment) -> int:
    """A whole prompt, which is not read in pieces there, and a step of all others."""
    return deployment.positions + deployment.turns


def engine_options(deployment: Deployment) -> dict[str, int | str]:
    """What the engine follows from, beside its checkpoint. Every prompt position is a row of the request's own table,
    so the tables of all turns together are as long as their prompts."""
    turns, positions = deployment.turns, deployment.positions
    return {
        "max_batch_size": turns,
        "max_input_len": positions - 1,  # where a prompt is longer than the profile's, its answer is shorter
        "max_seq_len": positions,
        "max_beam_width": 1,
        "max_num_tokens": largest_run_positions(deployment),
        "max_prompt_embedding_table_size": turns * positions,
        "kv_cache_type": "paged",
    }


def build_command(deployment: Deployment, checkpoint: Path, out: Path) -> list[str]:
    options = {"checkpoint_dir": checkpoint, "output_dir": out, **engine_options(deployment)}
    return ["trtllm-build", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
