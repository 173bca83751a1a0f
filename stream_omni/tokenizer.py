"""The checkpoint's tokenizer: encoding, decoding (whole or as a stream), and which ids can be spoken.

Byte-level BPE only, as every Llama 3 tokenizer is: a token is a run of bytes, so that decoding is concatenation.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as RustTokenizer

from stream_omni.chat_template import ChatTemplate

IMAGE_PLACEHOLDER = "<image>"  # the reference's literal for a picture

# A token can be spoken when a character is left after the reference's clean-up of symbols and white space.
SPOKEN_CHARACTER = re.compile(r"[\w。，',.、“”\"！？!?]")


class Tokenizer:
    """A directory's ``tokenizer.json`` and ``tokenizer_config.json`` (a checkpoint, or the assets of a build).

    Raises FileNotFoundError when one of them is missing, ValueError when the tokenizer is not byte-level.
    """

    def __init__(self, directory: Path) -> None:
        self._rust: RustTokenizer = RustTokenizer.from_file(str(_existing(directory / "tokenizer.json")))
        if "ByteLevel" not in repr(self._rust.decoder):
            raise ValueError(f"{directory / 'tokenizer.json'} is not a byte-level tokenizer, the only kind supported")
        config = json.loads(_existing(directory / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.chat_template = ChatTemplate.load(directory, config)
        added = self._rust.get_added_tokens_decoder()
        self.special_ids = frozenset(i for i, token in added.items() if token.special)
        self._added_texts = [token.content for token in added.values()]
        # What the tokenizer itself puts before a text: one BOS, or nothing
        self.leading_ids: tuple[int, ...] = tuple(self._rust.encode("").ids)

    @property
    def size(self) -> int:
        """Rows of the vocabulary, added tokens included."""
        return self._rust.get_vocab_size(with_added_tokens=True)

    def id_of(self, token: str) -> int | None:
        return self._rust.token_to_id(token)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, in which the names of special tokens count as such; nothing is put before or after."""
        ids: list[int] = self._rust.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """Incomplete UTF-8 becomes U+FFFD."""
        return self.bytes_of(ids, skip_special).decode("utf-8", errors="replace")

    def bytes_of(self, ids: Iterable[int], skip_special: bool = True) -> bytes:
        """UTF-8, whose characters may begin in one token and end in another. Ids without a token are empty."""
        pieces, skipped = self._pieces, self.special_ids if skip_special else frozenset()
        return b"".join(pieces[i] for i in ids if 0 <= i < len(pieces) and i not in skipped)

    def find_control_token(self, text: str) -> str | None:
        """The first piece of a user's text that would act as a control token instead of being read as words."""
        found = self._control_tokens.search(text)
        return found[0] if found else None

    @cached_property
    def _pieces(self) -> list[bytes]:
        vocabulary = self._rust.get_vocab(with_added_tokens=True)
        pieces = [b""] * (max(vocabulary.values()) + 1)
        for token, i in vocabulary.items():
            pieces[i] = _token_bytes(token)
        return pieces

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        # One pattern for all units: thousands of alternatives would be tried at each "<"
        named = [re.escape(text) for text in self._added_texts if not re.fullmatch(r"<Audio_\d+>", text)]
        return re.compile("|".join([r"<Audio_\d+>", re.escape(IMAGE_PLACEHOLDER), *named]))


class TextStream:
    """Decodes ids as they come, each once. The pieces hold whole characters only; joined, with the one of ``finish``,
    they equal ``Tokenizer.decode`` of all ids."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The new text; bytes of a character that is not complete yet are kept for later."""
        return self._decoder.decode(self._tokenizer.bytes_of((token,), self._skip_special))

    def finish(self) -> str:
        """U+FFFD for a character that was never completed, else nothing."""
        return self._decoder.decode(b"", final=True)


def speakable_mask(tokenizer: Tokenizer, rows: int) -> NDArray[np.bool_]:
    """Which of the ids 0..rows-1 the speech stacks may be shown: [rows] bool.

    The reference decodes the single id, drops all but word characters, white space and some marks, and takes what is
    not blank. Speech units decode to ``<Audio_i>`` and therefore count; ids without a token do not.
    """
    texts = (tokenizer.decode((i,), skip_special=False) for i in range(rows))
    return np.fromiter((SPOKEN_CHARACTER.search(text) is not None for text in texts), np.bool_, rows)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; a checkpoint needs its tokenizer's files")
    return path


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's way of writing bytes as characters: printable Latin-1 as itself, the others from U+0100 on."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(itself)]
    return {chr(byte): byte for byte in itself} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def _token_bytes(token: str) -> bytes:
    """Added tokens may be plain text outside the alphabet."""
    try:
        return bytes([_BYTE_OF[character] for character in token])
    except KeyError:
        return token.encode("utf-8")
