"""The prompt's pass through the bottom stack: what the transcript, the LLM and the speech loop start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.request_error import RequestError
from stream_omni.runtime.memory import memory_of
from stream_omni.runtime.prefill import chunk_end, chunk_tokens_of, reusable_tokens
from stream_omni.runtime.prefixes import Prefixes, content_of
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


def read_prompt(
    speech_bottom: Session, info: ModelInfo, ids: Array, shared_tokens: int = 0, prefixes: Prefixes | None = None
) -> SpeechPrompt:
    """Run ``ids`` int64 [L] (pictures taken out, positions 0 .. L-1) through the graph ``speech_bottom``.

    In chunks: the soft embeddings pass through a distribution over the whole text vocabulary at every position, which
    for a long question at once would take gigabytes. The first ``shared_tokens``, which other prompts are said to begin
    with as well, are taken from ``prefixes``, to the same bytes, and kept there. Raises RequestError without ids or
    with more than the context.
    """
    if not 0 < len(ids) <= info.context_tokens:
        raise RequestError(f"the prompt has {len(ids)} positions; at least one and at most {info.context_tokens} fit")
    graph = graphs(info)["speech_bottom"]
    caches = KeyValueCaches(graph, info.llama, slots=1, memory=memory_of(speech_bottom))
    # of a prompt that is all shared no logits are made, and nothing needs to remain
    shared = len(ids) if shared_tokens >= len(ids) else reusable_tokens(shared_tokens, len(ids))
    content = content_of(ids[:shared])
    found = prefixes.find(content) if prefixes and shared else None
    names = [output.name for output in graph.outputs]
    pieces: list[Sequence[Array]] = []
    if found:
        *outputs, keys_values = found
        pieces.append(outputs)
        caches.adopt(0, keys_values)
    for made in _read_rest(speech_bottom, ids, caches):
        pieces.append([made[name][0] for name in names])
    joined = dict(zip(names, map(np.concatenate, zip(*pieces, strict=True)), strict=True))
    if prefixes and shared and not found:
        prefixes.keep(content, [*(joined[name][:shared] for name in names), caches.stored(0, shared)])
    return SpeechPrompt(
        hidden=joined["hidden"],
        ctc_ids=joined["ctc_ids"][:, 0],
        ctc_margins=joined["ctc_values"][:, 0] - joined["ctc_values"][:, 1],
        soft_embeds=joined["soft_embeds"],
        keys_values=caches.stored(0, len(ids)),
    )


def _read_rest(speech_bottom: Session, ids: Array, caches: KeyValueCaches) -> Iterator[dict[str, Array]]:
    """The outputs of each chunk of what the caches do not hold yet."""
    while (begin := int(caches.lengths[0])) < len(ids):
        end = chunk_end(begin, len(ids), chunk_tokens_of(speech_bottom))
        inputs = {"ids": ids[None, begin:end], "positions": np.arange(begin, end, dtype=np.int64)[None]}
        yield speech_bottom.run(inputs, caches.view(0, 1, end - begin))
        caches.lengths[0] = end
