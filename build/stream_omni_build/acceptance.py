"""The last step of a GPU build: what is built is replayed as a whole, before anybody serves it.

Each engine has been held to ONNX Runtime by then (engines/verify.py). What is left is all that lies between them: which
plan stands for which graph, caches that go from one to the next, the limits of the deployment. So questions are
recorded here in fp32, and the built repository is led through them step by step (stream_omni.replay), as its stages run
in a server. The reference's published example, for whoever has its picture and recording, is one case more.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stream_omni.assets import Assets
from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Question, build_prompt
from stream_omni.replay.cases import Case, read_cases
from stream_omni.replay.compare import CaseResult
from stream_omni.replay.language import Model
from stream_omni.replay.published_example import NAME, ask, compare_published
from stream_omni.replay.record import record_again
from stream_omni.replay.run import Installation, replay
from stream_omni.replay.teacher import RecordedText
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.session import Array, Runtime, Session
from stream_omni.serving.errors import TurnError
from stream_omni.turn import InProcess
from stream_omni.weights import TensorSource
from stream_omni_build.built_runtime import BuiltRuntime
from stream_omni_build.deployment import GRAPHS_OF
from stream_omni_build.export import write_graphs
from stream_omni_build.failures import BuildFailure
from stream_omni_build.plain_llama import open_plain
from stream_omni_build.progress import Progress

QUESTION_UNITS = 50  # two seconds of speech
TEXT_TOKENS, SPEECH_UNITS = 32, 20
VOICE_UNITS = 30
PICTURE = "waves.png"


class ReplayError(BuildFailure):
    """What is built does not answer as was recorded, or as was published."""


@dataclass(frozen=True)
class Checkpoint:
    """What questions are recorded from: the tensors by source, and the assets of the build."""

    directory: Path
    tensors: Mapping[str, TensorSource]
    assets: Assets

    def model(self, runtime: Runtime) -> Model:
        def rows(name: str, ids: Array) -> Array:
            found: Array = self.tensors["model"].get(name)[ids]
            return found

        return Model(self.assets.info, runtime, self.assets.speakable, self.assets.image_newline, rows)


def record_cases(checkpoint: Checkpoint, folder: Path, progress: Progress) -> None:
    """A spoken question about a picture, answered in text and in speech, and the sound of some units, as cases in
    ``folder``. What is there is not recorded again."""
    if (folder / "complete").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    _draw(folder / "images" / PICTURE)
    runtime = _OneStage(checkpoint, folder / "reference", progress)
    here = Installation(checkpoint.model(runtime), dict(checkpoint.assets.voices))
    info, asked = checkpoint.assets.info, _question(checkpoint.assets)
    fields = {"mode": "speech_to_text", "max_new_tokens": TEXT_TOKENS}
    text = record_again(Case("text-answer", folder, asked | fields), here, folder)
    text.save()
    # the text does not depend on the speech, so the LLM need not be there any more
    said = text.fields["llm_ids"]
    led = dataclasses.replace(here, model=checkpoint.model(_WithText(runtime, info, said)))
    for units in (SPEECH_UNITS, SPEECH_UNITS // 2, SPEECH_UNITS // 4):
        fields = {"mode": "speech_to_speech", "max_new_tokens": units}
        speech = record_again(Case("speech-answer", folder, asked | fields), led, folder)
        del speech.arrays["llm_prefill_last_hidden"]  # of no LLM
        if len(speech.fields["llm_ids"]) <= len(said):  # else its last words are not the LLM's
            speech.save()
            break
    record_again(Case("voice", folder, _voice(checkpoint.assets)), here, folder).save()
    shutil.rmtree(folder / "reference")
    (folder / "complete").touch()


def replay_built(
    checkpoint: Checkpoint, folder: Path, out: Path, example: Path | None, progress: Progress
) -> dict[str, str]:
    """Lead what is built in ``out`` through the cases of ``folder``, and ask it the published example where its files
    are given. Returns what was found, by case. Raises ReplayError."""
    built = BuiltRuntime(out)
    plain = None
    if built.precision != "fp32":
        plain = open_plain(built.info, checkpoint.tensors["model"], built.precision, checkpoint.directory)
    here = Installation(checkpoint.model(built), dict(checkpoint.assets.voices), built.precision, plain)
    summary = replay(read_cases(folder), here, lambda line: progress.say(f"  {line}"))
    results = summary.results
    if example is not None:
        results.append(_published(built, checkpoint.assets, example))
        progress.say(f"  {results[-1].line()}")
    if wrong := [result for result in results if not result.ok]:
        raise ReplayError(_what_is_wrong(wrong, out, built.precision))
    told = dict.fromkeys(summary.not_applicable, f"{built.precision} alone loses too much here to tell")
    return {result.name: result.line() for result in results} | told


def _published(built: BuiltRuntime, assets: Assets, example: Path) -> CaseResult:
    try:
        with InProcess(built, assets) as turns:
            return compare_published(ask(turns, example), built.precision)
    except TurnError as error:
        return CaseResult.failed(NAME, str(error))


def _what_is_wrong(wrong: list[CaseResult], out: Path, precision: str) -> str:
    lines = "\n".join(f"  {result.line()}" for result in wrong)
    return (
        f"{out} is not complete: its engines were each found right, but all together they do not answer as was "
        f"recorded (in {precision}):\n{lines}\nA higher precision in the profile tells whether it is rounding; if it "
        "is not, this is a fault of the build, which its maintainers want to hear of"
    )


def _question(assets: Assets) -> dict[str, Any]:
    """Spoken, about the picture; its units are any."""
    info, layout = assets.info, assets.info.image
    units = tuple(np.random.default_rng(0).integers(0, info.vocabulary.units, QUESTION_UNITS).tolist())
    prompt = build_prompt(assets.tokenizer, info, Question(units=units, pictures=1))
    return {
        "text_vocab_size": info.vocabulary.text_size,
        "prompt_ids": prompt.ids.tolist(),
        "image": PICTURE,
        "image_config": {
            "image_aspect_ratio": layout.aspect_ratio,
            "mm_patch_merge_type": layout.merge_type,
            "image_grid_pinpoints": [list(size) for size in layout.grid_pinpoints],
        },
    }


def _voice(assets: Assets) -> dict[str, Any]:
    info = assets.info
    assert info.flow is not None
    units = np.random.default_rng(1).integers(0, info.flow.units, VOICE_UNITS).tolist()
    return {"mode": "vocoder", "noise_seed": 0, "speaker": info.default_voice, "token": units, "prompt_token": []}


def _draw(path: Path) -> None:
    """Waves of colour."""
    x, y = np.meshgrid(np.linspace(0, 6 * np.pi, 96), np.linspace(0, 4 * np.pi, 64))
    waves = np.stack([np.sin(x * rate + y) for rate in (0.3, 0.7, 1.1)], -1)
    Image.fromarray(((waves + 1) * 127).astype(np.uint8)).save(path)


class _OneStage:
    """The checkpoint in fp32 on ONNX Runtime, the weights of one stage at a time: asked for a graph of another one, it
    removes those that it has."""

    def __init__(self, checkpoint: Checkpoint, folder: Path, progress: Progress) -> None:
        self._checkpoint, self._folder, self._progress = checkpoint, folder, progress
        self._stage = ""
        self._runtime: OnnxRuntime | None = None

    def session(self, graph: str) -> Session:
        stage = next(name for name, own in GRAPHS_OF.items() if graph in own)
        if stage != self._stage or self._runtime is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            info, names = self._checkpoint.assets.info, GRAPHS_OF[stage]
            with self._progress.step(f"record answers of {stage}"):
                write_graphs(info, self._checkpoint.tensors, self._folder, self._progress, names)
            self._stage, self._runtime = stage, OnnxRuntime(self._folder)
        return self._runtime.session(graph)


class _WithText:
    """A runtime whose LLM says what it is told."""

    def __init__(self, runtime: Runtime, info: ModelInfo, ids: list[int]) -> None:
        self._runtime, self._llm = runtime, RecordedText(info, ids)

    def session(self, graph: str) -> Session:
        return self._llm if graph == "llm" else self._runtime.session(graph)
