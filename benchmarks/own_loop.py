"""The product's engines in one thread, one turn at a time: what the reference baseline is compared with."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.spoken_prompts import SpokenPrompt
from stream_omni.assets import Assets
from stream_omni.llm_prompt import llm_prompt
from stream_omni.runtime.events import Event
from stream_omni.runtime.session import Array, Runtime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import TextEngine, TextRequest

_TURN = 0


class OwnLoop:
    """Nothing overlaps, and the LLM makes a token only when the speech loop waits for one: the reference's work without
    its waste. No beginning of a prompt is remembered from turn to turn."""

    def __init__(self, runtime: Runtime, assets: Assets) -> None:
        self._runtime, self._assets, info = runtime, assets, assets.info
        self._text = TextEngine.served(runtime, info, slots=1)
        bottom_step, top = runtime.session("speech_bottom_step"), runtime.session("speech_top")
        self._speech = SpeechEngine(bottom_step, top, info, assets.speakable, slots=1)
        for graph in ("speech_bottom", "vision_encoder"):
            runtime.session(graph)
        self.text_ids: list[int] = []  # of the last turn, as are the pictures' rows
        self.pictures: list[Array] = []

    def speak(self, asked: SpokenPrompt, max_units: int) -> Iterator[int]:
        """The ids that the speech loop makes, as they are made. Leaving early ends the turn."""
        info, session = self._assets.info, self._runtime.session
        self.pictures = asked.pictures(session("vision_encoder"), self._assets)
        read = read_prompt(session("speech_bottom"), info, asked.prompt.spoken_ids)
        ids, embeds = llm_prompt(asked.prompt, self.pictures, info.llama.hidden, read.soft_embeds)
        self._speech.start(_TURN, SpeechRequest(read.hidden, read.keys_values, False, max_units))
        self._text.start(_TURN, TextRequest(ids, embeds, info.context_tokens, (info.vocabulary.eot,)))
        self.text_ids = []
        try:
            while self._speech.active:
                if not self._speech.has_work:
                    self._write()
                    continue
                for event in self._speech.step():
                    _raise_error(event)
                    yield from event.ids
        finally:
            self._speech.cancel(_TURN)
            self._text.cancel(_TURN)

    def _write(self) -> None:
        for event in self._text.step():
            _raise_error(event)
            self.text_ids += event.ids
            self._speech.append(_TURN, event.ids, event.finish is not None)


def _raise_error(event: Event) -> None:
    if event.finish == "error":
        raise RuntimeError(event.message)
