"""All stages in this process, behind the same call as those of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from stream_omni.assets import Assets
from stream_omni.request_error import RequestError
from stream_omni.runtime.prefixes import Prefixes
from stream_omni.runtime.session import Array, Runtime
from stream_omni.serving.engine_operations import (
    EngineOperations,
    read_speech_request,
    read_text_request,
    shared_tokens,
)
from stream_omni.serving.errors import InvalidRequestError, StageError, TurnError
from stream_omni.speech_chunks import run_flow_chunks, run_vocoder_chunks
from stream_omni.speech_engine import SpeechEngine
from stream_omni.speech_prompt import read_prompt
from stream_omni.speech_tokenizer import tokenize_speech
from stream_omni.text_engine import TextEngine

Arrays = Mapping[str, Array]


class LocalStages:
    """What the folders of model_repository/ do for Triton, for callers of :class:`stream_omni.turn.InProcess`.

    Loads every graph, so that no turn pays for it.
    """

    def __init__(self, runtime: Runtime, assets: Assets, slots: int, prefix_cache_mb: int) -> None:
        self._runtime, self._info, session = runtime, assets.info, runtime.session
        prefix_bytes = prefix_cache_mb << 20
        self._prefixes = Prefixes(prefix_bytes)
        own = getattr(
            runtime, "text_engine", TextEngine.served
        )  # of a runtime that does not run the LLM's graph itself
        text = own(runtime, self._info, slots, prefix_bytes)
        steps = session("speech_bottom_step"), session("speech_top")
        speech = SpeechEngine(*steps, self._info, assets.speakable, slots, prefix_bytes=prefix_bytes)
        self._engines = {
            "llm": EngineOperations(text, read_text_request),
            "speech_top": EngineOperations(speech, read_speech_request),
        }
        self._stages: dict[str, Callable[[Arrays], Arrays]] = {
            **{name: engine.answer for name, engine in self._engines.items()},
            "speech_tokenizer": self._tokenize,
            "vision_encoder": session("vision_encoder").run,
            "speech_bottom": self._read_prompt,
            "token2wav": self._make_sound,
        }
        for name in ("speech_tokenizer", "speech_bottom", "flow_encoder", "flow_estimator", "f0_predictor", "vocoder"):
            session(name)

    def infer(self, stage: str, inputs: Arrays, outputs: Sequence[str]) -> dict[str, Array]:
        """One blocking call, as :data:`stream_omni.serving.stage_calls.Infer` wants it. From any thread."""
        try:
            found = self._stages[stage](inputs)
        except TurnError:
            raise
        except RequestError as error:
            raise InvalidRequestError(str(error)) from error
        except Exception as error:
            raise StageError(stage, str(error)) from error
        return {name: found[name] for name in outputs}

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def _tokenize(self, inputs: Arrays) -> Arrays:
        tokenizer, rate_hz = self._runtime.session("speech_tokenizer"), int(inputs["sample_rate"][0])
        return {"units": tokenize_speech(tokenizer, inputs["samples"], rate_hz)}

    def _read_prompt(self, inputs: Arrays) -> Arrays:
        bottom, shared = self._runtime.session("speech_bottom"), shared_tokens(inputs)
        found = read_prompt(bottom, self._info, inputs["ids"], shared, self._prefixes)
        return {field.name: getattr(found, field.name) for field in fields(found)}

    def _make_sound(self, chunk: Arrays) -> Arrays:
        session = self._runtime.session
        (mel,) = run_flow_chunks(session("flow_encoder"), session("flow_estimator"), self._info, [chunk])
        sound = run_vocoder_chunks(session("f0_predictor"), session("vocoder"), self._info, [{**chunk, "mel": mel}])[0]
        return {"mel": mel, **sound}
