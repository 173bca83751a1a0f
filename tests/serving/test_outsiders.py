"""Only the front door drives the stages: nobody who reaches the port can, however he asks, nor meddle with others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.operations import Operation
from stream_omni.serving.stage_secret import ENVIRONMENT, PARAMETER, StageSecret
from tests.serving.raw_client import Stream, ask, picture, tensors, tone

CLOSED = ("speech_tokenizer", "vision_encoder", "speech_bottom", "llm", "speech_top", "cosyvoice_flow", "vocoder")
GUESSES: dict[str, Any] = {
    "no parameter": {},
    "a guess": {PARAMETER: "0" * 64},
    "empty": {PARAMETER: ""},
    "a number": {PARAMETER: 7},
    "a quote": {PARAMETER: '","stage_secret":"'},
}


def refusal(url: str, model: str, inputs: dict[str, Any], parameters: dict[str, Any] | None = None) -> str:
    with triton.InferenceServerClient(url) as client, pytest.raises(triton.InferenceServerException) as refused:
        client.infer(model, tensors(inputs), parameters=parameters, client_timeout=10)
    return str(refused.value.message())


def any_inputs(url: str, model: str) -> dict[str, Any]:
    """The wanted ones, of the right types; of what no stage sees, the content does not matter."""
    with triton.InferenceServerClient(url) as client:
        config = client.get_model_config(model).config
    kinds = {5: np.uint64, 8: np.int32, 9: np.int64, 11: np.float32, 12: np.float64, 13: object}
    made = {}
    for wanted in config.input:
        if not wanted.optional:
            shape = [1 if size < 0 else size for size in wanted.dims]
            made[wanted.name] = np.zeros(shape, kinds[wanted.data_type])
    return made


@pytest.mark.parametrize("model", [*CLOSED, "token2wav"])
def test_a_stage_refuses_an_outsider(url: str, model: str) -> None:
    inputs = any_inputs(url, model)
    for guess in GUESSES.values():
        assert refusal(url, model, inputs, guess).endswith(
            "UNAUTHENTICATED: this model is a part of stream_omni, which alone may call it; call stream_omni"
        )


def test_every_model_is_closed_or_a_door(server: TritonServer) -> None:
    """A model that is added must be put into one of the two."""
    models = {config.parent.name for config in server.repository.glob("*/config.pbtxt")}
    assert models == {*CLOSED, "token2wav", "stream_omni", "turn", "prepare", "answer"}


@pytest.mark.parametrize("engine", ["llm", "speech_top"])
def test_nobody_else_polls_cancels_or_starts_turns(server: TritonServer, engine: str) -> None:
    """Not even who knows their numbers: of all turns and owners that an outsider could name, none is touched."""
    url = server.grpc_url
    running = Stream(url, {"text": "again", "task": "speak", "max_audio_ms": 2000})
    alone = ask(url, text="again", task="speak", max_audio_ms=2000)
    for operation in Operation:
        told = refusal(url, engine, addressed(operation))
        assert "UNAUTHENTICATED: " in told
    with triton.InferenceServerClient(url) as client:  # who knows the word is let in: it is this that is refused
        inside = client.infer(engine, tensors(addressed(Operation.CANCEL)), parameters=server.stage_secret.parameters)
    assert inside.as_numpy("turns").tolist() == [1]
    assert running.finish().samples.tobytes() == alone.samples.tobytes()


def addressed(operation: Operation) -> dict[str, Any]:
    one = np.array([1], np.uint64)
    return {"op": np.array([operation], np.int32), "owner": one, "turn": one}


PREPARED = ("turn", "prompt_ids", "prompt_embeds", "hidden", "keys_values", "seal")


def test_answer_takes_only_what_prepare_made(url: str) -> None:
    turn = {"text": "What is this?", "output": "speech", "max_tokens": 4, "max_audio_ms": 400}
    with triton.InferenceServerClient(url) as client:
        made = client.infer("prepare", tensors(turn))
        inputs: dict[str, Any] = {name: made.as_numpy(name) for name in PREPARED}
        assert len(client.infer("answer", tensors(inputs)).as_numpy("samples")) > 0
    longer = np.array([inputs["turn"][0].replace(b'"max_audio_ms": 400', b'"max_audio_ms": 401')], object)
    assert longer[0] != inputs["turn"][0]
    for changed in (
        {"turn": longer},
        {"prompt_ids": inputs["prompt_ids"] + 1},
        {"hidden": inputs["hidden"][:-1]},
        {"seal": np.array([b"0" * 64], object)},
        {"seal": np.array([b"\xff"], object)},
    ):
        assert "UNAUTHENTICATED: this model takes only what prepare" in refusal(url, "answer", inputs | changed)


def test_the_check_costs_next_to_nothing() -> None:
    secret = StageSecret.make()
    began_s = time.perf_counter()
    for _ in range(10_000):
        secret.check(secret.parameters)
    assert time.perf_counter() - began_s < 1  # 100 us a call, of which a stage gets some tens a second


def test_a_stage_does_not_start_without_the_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with pytest.raises(RuntimeError, match="start the server with `stream-omni serve`"):
        StageSecret.own()


def test_seals_tell_what_belongs_to_which_name() -> None:
    secret, bytes_of = StageSecret("w"), lambda *parts: np.array(parts, object)
    seals = {
        secret.seal({"a": bytes_of(b"xy"), "b": bytes_of(b"z")}),
        secret.seal({"a": bytes_of(b"x"), "b": bytes_of(b"yz")}),
        secret.seal({"a": bytes_of(b"x", b"y"), "b": bytes_of(b"z")}),
        secret.seal({"a": np.zeros(4, np.int32)}),
        secret.seal({"a": np.zeros((2, 2), np.int32)}),
        secret.seal({"a": np.zeros(4, np.float32)}),
        StageSecret("v").seal({"a": np.zeros(4, np.float32)}),
    }
    assert len(seals) == 7


def test_the_word_is_in_no_answer_and_no_log(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of everything that went before in this session."""
    refusal(server.grpc_url, "llm", any_inputs(server.grpc_url, "llm"))
    assert ask(server.grpc_url, audio=tone(), image=[picture()], output="speech", max_audio_ms=400).error is None
    logs = list(Path(tmp_path_factory.getbasetemp()).glob("log*/server.log"))
    assert logs
    for log in logs:
        assert server.stage_secret.word not in log.read_text(encoding="utf-8", errors="replace")
