"""The prompt's pass through the bottom stack: what the transcript, the LLM and the speech loop start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.prefill import chunk_end
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.slots import KeyValueCaches


@dataclass(frozen=True)
class SpeechPrompt:
    """Of L prompt positions: ``hidden`` [L, H] after the bottom stack's norm, ``ctc_ids`` int64 [L] best labels,
    ``ctc_margins`` [L] their lead over the second best, ``soft_embeds`` [L, H] for the LLM, ``keys_values``
    [2 * bottom layers, kv_heads, L, head_size] for :class:`stream_omni.speech_engine.SpeechEngine`."""

    hidden: Array
    ctc_ids: Array
    ctc_margins: Array
    soft_embeds: Array
    keys_values: Array


def read_prompt(speech_bottom: Session, info: ModelInfo, ids: Array) -> SpeechPrompt:
    """Run ``ids`` int64 [L] (pictures taken out, positions 0 .. L-1) through the graph ``speech_bottom``.

    In chunks: the soft embeddings pass through a distribution over the whole text vocabulary at every position, which
    for a long question at once would take gigabytes. Raises ValueError without ids or with more than the context.
    """
    if not 0 < len(ids) <= info.context_tokens:
        raise ValueError(f"the prompt has {len(ids)} positions; at least one and at most {info.context_tokens} fit")
    caches = KeyValueCaches(graphs(info)["speech_bottom"], info.llama, slots=1)
    pieces: list[dict[str, Array]] = []
    begin = 0
    while begin < len(ids):
        end = chunk_end(begin, len(ids))
        inputs = {"ids": ids[None, begin:end], "positions": np.arange(begin, end, dtype=np.int64)[None]}
        pieces.append(speech_bottom.run(inputs, caches.view(0, 1, end - begin)))
        caches.lengths[0] = begin = end
    joined = {name: np.concatenate([piece[name][0] for piece in pieces]) for name in pieces[0]}
    return SpeechPrompt(
        hidden=joined["hidden"],
        ctc_ids=joined["ctc_ids"][:, 0],
        ctc_margins=joined["ctc_values"][:, 0] - joined["ctc_values"][:, 1],
        soft_embeds=joined["soft_embeds"],
        keys_values=caches.stored(0),
    )
