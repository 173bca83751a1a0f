"""The text engine: prompts in, text ids out, all turns in one batched step of the LLM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.request_error import RequestError
from stream_omni.runtime.batched_engine import BatchedEngine
from stream_omni.runtime.events import Event
from stream_omni.runtime.memory import finds_best_there, memory_of
from stream_omni.runtime.prefill import chunk_tokens_of, reusable_tokens
from stream_omni.runtime.prefixes import content_of
from stream_omni.runtime.prompt_reader import PromptReader, Reading
from stream_omni.runtime.session import Array, Runtime, Session
from stream_omni.runtime.slots import KeyValueCaches, span
from stream_omni.sampling import choose, text_generator

FROM_EMBEDS = -1  # the id of a prompt position that takes the next row of the embeddings


@dataclass(frozen=True)
class TextRequest:
    """A prompt and how to go on from it.

    ``ids`` int64 [T] with -1 where a position takes the next row of ``embeds`` float32 [M, H]. The answer ends with the
    first of ``stop_ids``, which is part of it, or with ``max_tokens`` ids. Temperature 0 is greedy. ``shared_tokens``:
    how many of the first positions other prompts are likely to have as well; it changes nothing but the time.
    """

    ids: Array
    embeds: Array
    max_tokens: int
    stop_ids: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    shared_tokens: int = 0


def check_text_request(request: TextRequest, info: ModelInfo) -> None:
    """Raises RequestError, with the numbers, for a request that can never run; ValueError for embeddings that no stage
    may have made."""
    taken, given = int((request.ids == FROM_EMBEDS).sum()), len(request.embeds)
    if taken != given:
        raise ValueError(f"the prompt takes {taken} rows of embeddings, {given} were given")
    if not 0 < len(request.ids) < info.context_tokens:
        raise RequestError(f"the prompt has {len(request.ids)} positions; 1 to {info.context_tokens - 1} fit")
    text_size = info.vocabulary.text_size
    if request.ids.min() < FROM_EMBEDS or request.ids.max() >= text_size:
        raise RequestError(f"the prompt has an id outside the text vocabulary of {text_size} ids")
    if not np.isfinite(request.embeds).all():
        raise ValueError("the prompt's embeddings are not finite")
    if request.max_tokens < 1:
        raise RequestError(f"max_tokens is {request.max_tokens}; at least 1 is needed")


@dataclass(frozen=True)
class TextStep:
    """What made one id, for whoever compares: ``last_hidden`` [H] after the last norm, ``logits`` [text vocabulary]."""

    turn: int
    index: int
    id: int
    last_hidden: Array
    logits: Array


@dataclass(eq=False)
class _Turn:
    turn: int
    request: TextRequest
    reading: Reading
    embed_rows: Array  # [T]: the row of `embeds` at each position, where its id is -1
    generator: np.random.Generator
    row: int = -1
    made: list[int] = field(default_factory=list)  # empty until the prompt is prefilled


class TextEngine(BatchedEngine[_Turn]):
    """Continuous batching over the graph ``llm``.

    A step is one batched decode step of all running turns, whatever their lengths, then one chunk of a waiting prompt
    (:class:`~stream_omni.runtime.prompt_reader.PromptReader` says whose): so a long prompt holds running streams up by
    one chunk a step at the most, and turns join and leave between steps. One thread calls it. ``probe`` is shown every
    id with its logits; ``prefix_bytes`` bound what is remembered of shared beginnings. ``greedy`` (the graph
    ``llm_greedy``) runs in place of ``llm`` where no turn needs more than its best id.
    """

    def __init__(
        self,
        llm: Session,
        info: ModelInfo,
        slots: int,
        probe: Callable[[TextStep], None] | None = None,
        prefix_bytes: int = 0,
        greedy: Session | None = None,
    ) -> None:
        self._llm, self._greedy, self._info, self._probe = llm, greedy, info, probe
        self._caches = KeyValueCaches(graphs(info)["llm"], info.llama, slots, memory_of(llm))
        self._prompts = PromptReader(self._caches, prefix_bytes, chunk_tokens_of(llm))
        super().__init__(slots, [self._caches])

    @classmethod
    def served(cls, runtime: Runtime, info: ModelInfo, slots: int, prefix_bytes: int = 0) -> TextEngine:
        """On the graphs that were built for serving ``info``."""
        greedy = runtime.session("llm_greedy") if info.screened_heads or finds_best_there(runtime) else None
        return cls(runtime.session("llm"), info, slots, prefix_bytes=prefix_bytes, greedy=greedy)

    @property
    def has_work(self) -> bool:
        return bool(self._turns)

    def check(self, request: TextRequest) -> None:
        """Raises as :func:`check_text_request` does."""
        check_text_request(request, self._info)

    def start(self, turn: int, request: TextRequest) -> None:
        """Take a turn in. Raises Full without a free slot, and what :meth:`check` raises."""
        self.check(request)
        ids, embed_rows = request.ids, np.cumsum(request.ids == FROM_EMBEDS) - 1
        shared = reusable_tokens(request.shared_tokens, len(ids))
        content = content_of(ids[:shared], request.embeds[: (ids[:shared] == FROM_EMBEDS).sum()])
        reading = self._prompts.take(len(ids), shared, content)
        self._admit(_Turn(turn, request, reading, embed_rows, text_generator(request.seed)))

    def step(self) -> list[Event]:
        """One decode step and one chunk of prefill, as far as there is work for them."""
        events: list[Event] = []
        if running := [turn for turn in self._turns.values() if turn.made]:
            with self._contained(running, events):
                events += self._decode(running)
        if prompts := [turn for turn in self._turns.values() if not turn.made]:
            turn = self._prompts.next(prompts)
            with self._contained([turn], events):
                events += self._prefill(turn)
        return events

    def _decode(self, turns: Sequence[_Turn]) -> list[Event]:
        begin, end = span(turns)
        rows = np.array([turn.row - begin for turn in turns], np.int64)
        ids = np.zeros((end - begin, 1), np.int64)  # [B, 1]
        ids[rows, 0] = [turn.made[-1] for turn in turns]
        inputs: dict[str, Array] = {
            "ids": ids,
            "embeds": np.zeros((end - begin, 1, self._info.llama.hidden), np.float32),
            "positions": self._caches.lengths[begin:end, None],
            "rows": rows,
        }
        outputs = self._run(turns, inputs, self._caches.view(begin, end, 1))
        self._caches.lengths[begin + rows] += 1
        return self._continue(turns, outputs)

    def _prefill(self, turn: _Turn) -> list[Event]:
        self._prompts.restore(turn)
        request, (begin, end) = turn.request, self._prompts.chunk(turn)
        ids = request.ids[begin:end]
        embeds = np.zeros((1, end - begin, self._info.llama.hidden), np.float32)
        embeds[0, ids == FROM_EMBEDS] = request.embeds[turn.embed_rows[begin:end][ids == FROM_EMBEDS]]
        last = end == len(request.ids)
        inputs = {
            "ids": ids[None],
            "embeds": embeds,
            "positions": np.arange(begin, end, dtype=np.int64)[None],
            "rows": np.zeros(int(last), np.int64),  # no logits where none are read
        }
        outputs = self._run([turn], inputs, self._caches.view(turn.row, turn.row + 1, end - begin))
        self._prompts.advance(turn, end)
        return self._continue([turn], outputs) if last else []

    def _run(self, turns: Sequence[_Turn], inputs: dict[str, Array], caches: Sequence[Array]) -> dict[str, Array]:
        best_only = self._probe is None and not any(turn.request.temperature for turn in turns)
        session = self._greedy if self._greedy and best_only else self._llm
        return session.run(inputs, caches)

    def _choose(self, turn: _Turn, outputs: dict[str, Array]) -> int:
        """The next id, from the turn's row of ``outputs``. Raises FloatingPointError."""
        if "logits" not in outputs:
            if not np.isfinite(outputs["best_logits"][0]):
                raise FloatingPointError("the logits are not finite")
            return int(outputs["best_ids"][0])
        made = choose(outputs["logits"], turn.request.temperature, turn.request.top_p, turn.generator)
        if self._probe:
            self._probe(TextStep(turn.turn, len(turn.made), made, outputs["last_hidden"], outputs["logits"]))
        return made

    def _continue(self, turns: Sequence[_Turn], outputs: dict[str, Array]) -> list[Event]:
        """The next id of each turn from its row of ``outputs``; turns that end leave their slots."""
        events: list[Event] = []
        for row, turn in enumerate(turns):
            request = turn.request
            with self._contained([turn], events):
                made = self._choose(turn, {name: rows[row] for name, rows in outputs.items()})
                turn.made.append(made)
                total = len(request.ids) + len(turn.made)
                if made in request.stop_ids:
                    self._release(turn)
                    events.append(Event(turn.turn, [made], finish="stop"))
                elif len(turn.made) >= request.max_tokens or total >= self._info.context_tokens:
                    self._release(turn)
                    events.append(Event(turn.turn, [made], finish="length"))
                else:
                    events.append(Event(turn.turn, [made]))
        return events
