"""How a prompt is cut for prefill: so that it makes no difference to a byte of what follows."""

from __future__ import annotations

CHUNK_TOKENS = 64  # 13-26 ms on two CPU cores at mid size: what a running stream may be kept waiting


def chunk_tokens_of(session: object) -> int:
    """How many a session reads at once: its own number, of runtimes to which several times as many cost hardly more."""
    return int(getattr(session, "chunk_tokens", CHUNK_TOKENS))


def chunk_end(begin: int, length: int, chunk_tokens: int = CHUNK_TOKENS) -> int:
    """Where the chunk that starts at ``begin`` ends.

    No chunk of a longer prompt holds exactly one token: matrix products over one row may round otherwise than those
    over several, and the result would then depend on where a prompt was cut.
    """
    end = min(begin + chunk_tokens, length)
    return end - 1 if length - end == 1 else end


def reusable_tokens(shared_tokens: int, length: int) -> int:
    """How much of a prompt's shared beginning need not be read again. Two tokens at least remain: the last one has
    logits of its own to make, and would be a chunk of one."""
    return max(0, min(shared_tokens, length - 2))
