"""The speech engine: a prompt's bottom states and an answer's text ids in, speech units out, all turns batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stream_omni.graphs import WINDOW_TOKENS, graphs
from stream_omni.model_info import ModelInfo
from stream_omni.request_error import RequestError
from stream_omni.runtime.batched_engine import BatchedEngine
from stream_omni.runtime.events import Event
from stream_omni.runtime.memory import Held, memory_of
from stream_omni.runtime.prefill import chunk_tokens_of, reusable_tokens
from stream_omni.runtime.prefixes import content_of
from stream_omni.runtime.prompt_reader import PromptReader, Reading
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.slots import KeyValueCaches, span
from stream_omni.spoken_text import SpokenText


@dataclass(frozen=True)
class SpeechRequest:
    """A prompt that has been through the bottom stack (:func:`stream_omni.speech_prompt.read_prompt`).

    ``hidden`` float32 [L, H], ``keys_values`` float32 [2 * bottom layers, kv_heads, L, head_size]; ``text_in`` selects
    the text-to-speech rules. Speech ends with an end id, which is part of it, or with ``max_units`` ids.
    ``shared_tokens``: how many of the first positions other prompts are likely to have as well; it changes nothing but
    the time.
    """

    hidden: Array
    keys_values: Array
    text_in: bool
    max_units: int
    shared_tokens: int = 0


@dataclass(frozen=True)
class SpeechStep:
    """What made one id, for whoever compares: ``label`` is the CTC label of the id before (-1 in step 0) and
    ``ctc_margin`` its lead over the second best, ``last_label`` the loop's state after it, ``llm_steps`` the text ids
    consumed for this step, ``queued`` the speakable ones so far; ``last_hidden`` [H], ``logits`` of the ids of
    ``info.speech_ids``."""

    turn: int
    index: int
    id: int
    label: int
    ctc_margin: float
    last_label: int
    llm_steps: int
    queued: int
    window_ids: list[int]
    window_positions: list[int]
    last_hidden: Array
    logits: Array


@dataclass(eq=False)
class _Turn:
    turn: int
    prompt: Array | None  # [L, H] until the top stack has read all of it
    reading: Reading
    max_units: int
    text: SpokenText
    last_label: int
    row: int = -1
    made: int = 0
    last_id: int = -1
    fed: Held | None = None  # [H]: bottom output of last_id, waiting for its text and the top stack
    label: int = -1
    ctc_margin: float = float("inf")
    counted: int = 0  # labels that moved the text on
    consumed: int = 0  # text ids up to the last step


class SpeechEngine(BatchedEngine[_Turn]):
    """Continuous batching of the loop of algorithm.md a.5 over the graphs ``speech_bottom_step`` and ``speech_top``.

    Text ids arrive by :meth:`append`, in any split. A turn that needs one which has not arrived waits without holding
    up others; it may run along as padding, whose results nobody reads and whose cache entries the real step overwrites.

    Events carry every id that the loop made: units, text ids that it may emit by mistake, and the end id. ``counts[i]``
    is the number of counted CTC labels of the ids before id i, so the n-th speakable token begins to be spoken at the
    id *before* the first one with a count of n (an id's own label is known only when it has been fed back).

    ``speakable`` bool [text vocabulary]; what may be chosen are the rows of the graph's head (``info.speech_ids``).
    ``probe`` is shown every step; ``prefix_bytes`` bound what is remembered of shared beginnings. One
    thread calls the engine.
    """

    def __init__(
        self,
        bottom_step: Session,
        top: Session,
        info: ModelInfo,
        speakable: Array,
        slots: int,
        probe: Callable[[SpeechStep], None] | None = None,
        prefix_bytes: int = 0,
    ) -> None:
        self._bottom, self._top, self._info, self._probe = bottom_step, top, info, probe
        self._speakable = speakable
        self._ids = np.array(info.speech_ids)
        described = graphs(info)
        self._memory = memory_of(top)
        bottom, sizes = described["speech_bottom_step"], info.llama
        self._bottom_caches = KeyValueCaches(bottom, sizes, slots, memory_of(bottom_step))
        self._top_caches = KeyValueCaches(described["speech_top"], sizes, slots, self._memory)
        self._prompts = PromptReader(self._top_caches, prefix_bytes, chunk_tokens_of(top))
        super().__init__(slots, [self._bottom_caches, self._top_caches])

    @property
    def has_work(self) -> bool:
        """False also when every turn waits for text."""
        return any(self._runs(turn) for turn in self._turns.values())

    def check(self, request: SpeechRequest) -> None:
        """Raises RequestError, with the numbers, for a request that can never run; ValueError for states that no
        stage may have made."""
        llama, length = self._info.llama, len(request.hidden)
        if not 0 < length < self._info.context_tokens:
            raise RequestError(f"the prompt has {length} positions; 1 to {self._info.context_tokens - 1} fit")
        if request.hidden.shape != (length, llama.hidden):
            raise ValueError(f"hidden has the shape {request.hidden.shape}, not {(length, llama.hidden)}")
        shape = (2 * llama.bottom_layers, llama.kv_heads, length, llama.head_size)
        if request.keys_values.shape != shape:
            raise ValueError(f"keys_values has the shape {request.keys_values.shape}, not {shape}")
        if not (np.isfinite(request.hidden).all() and np.isfinite(request.keys_values).all()):
            raise ValueError("the prompt's states are not finite")
        if request.max_units < 1:
            raise RequestError(f"max_units is {request.max_units}; at least 1 is needed")

    def start(self, turn: int, request: SpeechRequest) -> None:
        """Take a turn in. Raises Full without a free slot, and what :meth:`check` raises."""
        self.check(request)
        vocabulary = self._info.vocabulary
        text = SpokenText(self._speakable, vocabulary.eot, vocabulary.blank, request.text_in)
        text.advance()
        shared = reusable_tokens(request.shared_tokens, len(request.hidden))
        reading = self._prompts.take(len(request.hidden), shared, content_of(request.hidden[:shared]))
        state = _Turn(turn, request.hidden, reading, request.max_units, text, vocabulary.blank)
        self._admit(state)
        self._bottom_caches.adopt(state.row, request.keys_values)

    def append(self, turn: int, ids: Sequence[int], final: bool) -> None:
        """More of a turn's text, in order; ``final`` when no more will come. A turn that is already over is ignored.

        Raises ValueError for an id outside the text vocabulary.
        """
        if state := self._turns.get(turn):
            state.text.append(ids, final)

    def step(self) -> list[Event]:
        """One speech step of all turns that can take one, and one chunk of a prompt."""
        events: list[Event] = []
        if fed := [turn for turn in self._turns.values() if turn.prompt is None and turn.fed is None]:
            with self._contained(fed, events):
                self._feed(fed)
        if ready := [turn for turn in self._turns.values() if turn.fed is not None and turn.text.ready()]:
            with self._contained(ready, events):
                events += self._speak(ready)
        if prompts := [turn for turn in self._turns.values() if turn.prompt is not None and self._runs(turn)]:
            turn = self._prompts.next(prompts)
            with self._contained([turn], events):
                events += self._prefill(turn)
        return events

    def _runs(self, turn: _Turn) -> bool:
        """Whether the turn can do anything before more of its text arrives."""
        if turn.prompt is not None:  # only the last chunk sees text
            _, end = self._prompts.chunk(turn)
            return end < turn.reading.length or turn.text.ready()
        return turn.fed is None or turn.text.ready()

    def _feed(self, turns: Sequence[_Turn]) -> None:
        """Run each turn's last id through the bottom stack; a new label asks for the next speakable token."""
        begin, end = span(turns)
        ids = np.zeros((end - begin, 1), np.int64)  # [B, 1]
        for turn in turns:
            ids[turn.row - begin, 0] = turn.last_id
        inputs = {"ids": ids, "positions": self._bottom_caches.lengths[begin:end, None]}
        outputs = self._bottom.run(inputs, self._bottom_caches.view(begin, end, 1))
        for turn in turns:
            self._bottom_caches.lengths[turn.row] += 1
            turn.fed = outputs["hidden"][turn.row - begin, 0]
            turn.label = int(outputs["ctc_ids"][turn.row - begin, 0, 0])
            best, second = outputs["ctc_values"][turn.row - begin, 0]
            turn.ctc_margin = float(best - second)
            # unlike in a transcript, a blank in between does not make a repeated label new
            if turn.label not in (self._info.vocabulary.blank, turn.last_label):
                turn.last_label = turn.label
                turn.counted += 1
                turn.text.advance()

    def _speak(self, turns: Sequence[_Turn]) -> list[Event]:
        begin, end = span(turns)
        hidden = self._memory.zeros((end - begin, 1, self._info.llama.hidden))
        with self._memory.ordered():
            for turn in turns:
                hidden[turn.row - begin, 0] = turn.fed
                turn.fed = None
        outputs = self._run_top(turns, hidden, begin)
        for turn in turns:
            self._top_caches.lengths[turn.row] += 1
        return self._continue(turns, outputs)

    def _prefill(self, turn: _Turn) -> list[Event]:
        assert turn.prompt is not None
        if self._prompts.restore(turn) and not self._runs(turn):
            return []
        begin, end = self._prompts.chunk(turn)
        last = end == turn.reading.length
        if last and not turn.text.queued:  # the text is over and held nothing that can be spoken
            self._release(turn)
            return [Event(turn.turn, finish="stop")]
        outputs = self._run_top([turn] if last else [], turn.prompt[None, begin:end], turn.row)
        self._prompts.advance(turn, end)
        if not last:
            return []
        turn.prompt = None
        return self._continue([turn], outputs)

    def _run_top(self, turns: Sequence[_Turn], hidden: Held, begin: int) -> dict[str, Array]:
        """The top stack over ``hidden`` [B, T, H], the rows from ``begin``; text and logits only for ``turns``."""
        size, tokens, _ = hidden.shape
        rows = np.array([turn.row - begin for turn in turns], np.int64)
        window_ids = np.zeros((len(turns), WINDOW_TOKENS), np.int64)
        window_positions = np.zeros_like(window_ids)
        window_length = np.zeros(len(turns), np.int64)
        for r, turn in enumerate(turns):
            ids, positions = turn.text.window()
            window_ids[r, : len(ids)], window_positions[r, : len(ids)], window_length[r] = ids, positions, len(ids)
        inputs = {
            "hidden": hidden,
            "positions": self._top_caches.lengths[begin : begin + size, None] + np.arange(tokens),
            "rows": rows,
            "window_ids": window_ids,
            "window_positions": window_positions,
            "window_length": window_length,
        }
        return self._top.run(inputs, self._top_caches.view(begin, begin + size, tokens))

    def _continue(self, turns: Sequence[_Turn], outputs: dict[str, Array]) -> list[Event]:
        """The next id of each turn from its row of ``outputs``; turns that end leave their slots."""
        events: list[Event] = []
        for turn, hidden, logits in zip(turns, outputs["last_hidden"], outputs["logits"], strict=True):
            with self._contained([turn], events):
                turn.last_id = self._choose(logits)
                if self._probe:
                    self._probe(self._described(turn, hidden, logits))
                turn.made += 1
                turn.consumed = turn.text.consumed
                event = Event(turn.turn, [turn.last_id], [turn.counted])
                if turn.last_id in self._info.vocabulary.eos:
                    self._release(turn)
                    event = Event(turn.turn, event.ids, event.counts, "stop")
                elif turn.made >= turn.max_units or turn.reading.length + turn.made >= self._info.context_tokens:
                    self._release(turn)
                    event = Event(turn.turn, event.ids, event.counts, "length")
                events.append(event)
        return events

    def _choose(self, logits: Array) -> int:
        assert logits.shape == self._ids.shape, "the graph was built with another head"
        best = int(logits.argmax())
        if not np.isfinite(logits[best]):
            raise FloatingPointError("the logits are not finite")
        return int(self._ids[best])

    def _described(self, turn: _Turn, hidden: Array, logits: Array) -> SpeechStep:
        window_ids, window_positions = turn.text.window()
        return SpeechStep(
            turn=turn.turn,
            index=turn.made,
            id=turn.last_id,
            label=turn.label,
            ctc_margin=turn.ctc_margin,
            last_label=turn.last_label,
            llm_steps=turn.text.consumed - turn.consumed,
            queued=len(turn.text.queued),
            window_ids=window_ids,
            window_positions=window_positions,
            last_hidden=hidden,
            logits=logits,
        )
