"""The text engine on TensorRT-LLM: all of it that needs no GPU, and that it calls nothing which is not there."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stream_omni_build.tensorrt_llm_build as build
from stream_omni_build.deployment import read_deployment

from stream_omni import tensorrt_llm_engine as engine
from stream_omni.tensorrt_llm_engine import Answer, prompt_table, virtual_ids
from stream_omni.text_engine import TextRequest
from tests.llm_executor import API

FILES = [Path(str(module.__file__)) for module in (engine, build)]
# our names of TensorRT-LLM's objects: those that are called or read are checked against the list
OBJECTS = {
    "api",
    "_api",
    "executor",
    "_executor",
    "models",
    "LLaMAForCausalLM",
    "model",
    "response",
    "result",
    "config",
}
OBJECTS |= {"ModelType"}
OURS = {"tensor", "served", "step", "LLaMAForCausalLM"}


def request(ids: list[int], embeds: int = 0, max_tokens: int = 8) -> TextRequest:
    rows = np.arange(embeds * 3, dtype=np.float32).reshape(embeds, 3) + 100
    return TextRequest(np.array(ids), rows, max_tokens, stop_ids=(9, 7))


def test_a_prompt_is_all_rows_of_its_own_table() -> None:
    table = np.arange(30, dtype=np.float32).reshape(10, 3)
    rows = prompt_table(request([4, -1, 0, -1], embeds=2), table)
    assert rows.tolist() == [[12, 13, 14], [100, 101, 102], [0, 1, 2], [103, 104, 105]]
    assert rows.dtype == np.float32
    assert virtual_ids(4, 10) == [10, 11, 12, 13]


def test_an_answer_ends_by_the_rules_of_every_text_engine() -> None:
    answer = Answer(3, request([1, 2], max_tokens=8), context_tokens=100)
    assert answer.room == 8
    first, last = answer.take([4, 5], last=False), answer.take([6, 7, 8], last=False)
    assert (first.turn, first.ids, first.finish) == (3, [4, 5], None)
    assert (last.ids, last.finish) == ([6, 7], "stop")  # the stop id is part of it, what comes after is not


@pytest.mark.parametrize(("max_tokens", "context"), [(3, 100), (50, 5)])
def test_an_answer_is_as_long_as_its_limit_or_the_context_allow(max_tokens: int, context: int) -> None:
    answer = Answer(0, request([1, 2], max_tokens=max_tokens), context)
    assert answer.room == 3
    event = answer.take([4, 5, 6, 4], last=False)
    assert (event.ids, event.finish) == ([4, 5, 6], "length")


def test_an_answer_that_the_executor_ends_is_over() -> None:
    event = Answer(0, request([1]), 100).take([4], last=True)
    assert (event.ids, event.finish) == ([4], "length")


def test_the_engine_is_built_for_every_position_of_every_turn() -> None:
    deployment = read_deployment("gpu-1")
    program, *words = build.build_command(deployment, Path("checkpoint"), Path("out"))
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert program == "trtllm-build"
    assert {option.removeprefix("--") for option in options} == set(API["trtllm-build"]["names"])
    positions, turns = deployment.positions, deployment.turns
    assert int(options["--max_seq_len"]) == positions
    assert int(options["--max_prompt_embedding_table_size"]) == turns * positions
    assert int(options["--max_num_tokens"]) >= positions


def nodes() -> list[ast.AST]:
    return [node for path in FILES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def used_calls() -> list[tuple[str, int, set[str]]]:
    """(name, positional arguments, named ones) of every call of an object of TensorRT-LLM's."""
    found = []
    for node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _name(node.func.value) in OBJECTS:
            found.append((node.func.attr, len(node.args), {word.arg or "**" for word in node.keywords}))
    return found


def wrong_call(name: str, positional: int, named: set[str], api: dict[str, Any] = API) -> str | None:
    if name not in api["calls"]:
        return f"{name} is not in the list"
    known = api["calls"][name]
    if positional > len(known["positional"]) or (unknown := named - {*known["positional"], *known["named"]}):
        return f"{name}: {positional} positional arguments, unknown {unknown if named else ''}"
    return None


def test_every_call_is_one_that_the_release_has() -> None:
    calls = used_calls()
    assert {"Executor", "Request", "await_responses", "from_hugging_face", "save_checkpoint"} <= {c[0] for c in calls}
    assert not [wrong for call in calls if (wrong := wrong_call(*call))]
    assert {entry["source"] for entry in API["calls"].values()} <= API["sources"].keys()


def test_a_call_that_the_release_has_not_is_seen() -> None:
    assert wrong_call("enqueue", 1, set()) == "enqueue is not in the list"
    assert wrong_call("Request", 2, {"prompt_table"})
    assert wrong_call("Request", 3, set())


def test_every_attribute_is_one_that_the_release_has() -> None:
    known = {name for entry in API["attributes"].values() for name in entry["names"]} | API["calls"].keys() | OURS
    read = {n.attr for n in nodes() if isinstance(n, ast.Attribute) and _name(n.value) in OBJECTS}
    assert {"request_id", "output_token_ids", "is_final", "DECODER_ONLY"} <= read
    assert not read - known - {"ModelType"}
    modules = {n.value for n in nodes() if isinstance(n, ast.Constant) and str(n.value).startswith("tensorrt_llm.")}
    assert modules <= set(API["attributes"]["modules"]["names"]) and modules
    algorithms = set(build.QUANTIZED.values())
    assert algorithms <= set(API["attributes"]["QuantAlgo"]["names"])
