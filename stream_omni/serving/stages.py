"""The stages behind the front door, as awaitable functions of arrays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_omni.runtime.session import Array
from stream_omni.serving.engine_link import EngineLink
from stream_omni.serving.spans import part
from stream_omni.serving.stage_calls import StageCalls

TILES_IN_A_CALL = 4  # bounds a call's memory; other turns' pictures come in between


class Stages:
    """Lives on the loop of ``calls``. ``release`` of a turn is owed after any START."""

    def __init__(self, calls: StageCalls) -> None:
        self.calls = calls
        self.llm = EngineLink("llm", calls)
        self.speech_top = EngineLink("speech_top", calls)

    async def speech_units(self, samples: NDArray[np.float32], sample_rate_hz: int, timeout_s: float) -> list[int]:
        """Units, 25 a second, of mono ``samples`` [N]."""
        inputs = {"samples": samples, "sample_rate": np.array([sample_rate_hz], np.int32)}
        found = await self._ask("speech_tokenizer", inputs, ("units",), timeout_s)
        units: list[int] = found["units"].tolist()
        return units

    async def project_tiles(self, pixels: NDArray[np.float32], timeout_s: float) -> NDArray[np.float32]:
        """[P, patches, H] of tiles [P, 3, S, S]."""
        pieces = []
        for begin in range(0, len(pixels), TILES_IN_A_CALL):
            inputs = {"pixels": pixels[begin : begin + TILES_IN_A_CALL]}
            found = await self._ask("vision_encoder", inputs, ("projected",), timeout_s)
            pieces.append(found["projected"])
        return np.concatenate(pieces)

    async def read_prompt(
        self, ids: NDArray[np.int64], shared_tokens: int, outputs: tuple[str, ...], timeout_s: float
    ) -> dict[str, Array]:
        """Fields of :class:`stream_omni.speech_prompt.SpeechPrompt` by name, for ids [L], of which other prompts have
        the first ``shared_tokens`` as well."""
        inputs: dict[str, Array] = {"ids": ids, "shared_tokens": np.array([shared_tokens], np.int32)}
        return await self._ask("speech_bottom", inputs, outputs, timeout_s)

    async def token2wav(self, chunk: Mapping[str, Array], timeout_s: float) -> dict[str, Array]:
        """``mel``, ``samples`` and ``next_phase`` of a chunk (:mod:`stream_omni.speech_chunks`)."""
        return await self._ask("token2wav", chunk, ("mel", "samples", "next_phase"), timeout_s)

    async def release(self, turn: int) -> None:
        """Free what the engines hold for a turn."""
        await asyncio.gather(self.llm.release(turn), self.speech_top.release(turn))

    def stop(self) -> None:
        self.llm.stop()
        self.speech_top.stop()

    async def _ask(
        self, model: str, inputs: Mapping[str, Array], outputs: tuple[str, ...], timeout_s: float
    ) -> dict[str, Array]:
        with part(model, "client"):
            return await self.calls.call(model, inputs, outputs, timeout_s)
