"""A small real tokenizer of Llama 3's form: byte-level BPE, its special tokens, and one token per speech unit.

It is trained here, from `tokenizer_text.txt` (written for this purpose), so nothing of Meta's vocabulary is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from stream_omni_build.random_sizes import RandomSize

BOS, EOS, BLANK = "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"
EOM, EOT = "<|eom_id|>", "<|eot_id|>"
_PADDING, _HEADER = "<|finetune_right_pad_id|>", ("<|start_header_id|>", "<|end_header_id|>")
_FEWEST_SPECIAL = (BOS, EOS, BLANK, _PADDING, *_HEADER, EOM, EOT)

# Words with the space before them, runs of letters, numbers of up to three digits, punctuation, line ends
_PIECES = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LEARNED_TOKENS = 1016
_LONGEST_TOKEN_BYTES = 12  # four Chinese characters: keeps whole sentences from becoming tokens
_MARKS = (",", ".", "?", ":", " -", "，", "。", "！")

# The header of the answer is always rendered, as the prompt's known length demands
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
)


@dataclass(frozen=True)
class TokenRoles:
    """Ids that the output heads treat apart. ``words``: whole words of the training text and pieces of
    Chinese; ``marks``: punctuation, speakable or not."""

    words: tuple[int, ...]
    marks: tuple[int, ...]
    units: range
    bos: int
    blank: int
    eot: int
    eos: tuple[int, ...]


def train_tokenizer(size: RandomSize) -> Tokenizer:
    """Ids: learned tokens (padded with unused ones up to ``size.learned_tokens``), special tokens, ``<Audio_i>``."""
    learned = _train(_LEARNED_TOKENS)
    merges = [(first, second) for first, second in learned["merges"]]
    return _assembled(size, learned["vocab"], merges, whole_words=False)


def tokenizer_of_words(size: RandomSize, words: Sequence[str]) -> Tokenizer:
    """The same, with the bytes and ``words`` (" circle", "What") for learned tokens. Any other text becomes bytes."""
    bytes_first = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map(_byte_level, words)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(bytes_first))}
    if len(vocabulary) > size.learned_tokens:
        raise ValueError(f"{len(vocabulary)} bytes and words are more than {size.learned_tokens} learned tokens")
    return _assembled(size, vocabulary, [], whole_words=True)


def _assembled(
    size: RandomSize, vocabulary: dict[str, int], merges: list[tuple[str, str]], whole_words: bool
) -> Tokenizer:
    """``whole_words``: as in Llama 3, a piece that is a token need not be reachable by merges."""
    for i in range(len(vocabulary), size.learned_tokens):
        vocabulary[f"<|unused_token_{i}|>"] = i
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=whole_words))
    _set_byte_level(tokenizer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in _special_tokens(size)])
    units = (AddedToken(f"<Audio_{i}>", special=False, normalized=False) for i in range(size.units))
    tokenizer.add_tokens(list(units))
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)]
    )
    if tokenizer.get_vocab_size() != size.vocabulary:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, not {size.vocabulary}")
    return tokenizer


def tokenizer_config(size: RandomSize) -> dict[str, Any]:
    return {
        "bos_token": BOS,
        "eos_token": EOT,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": size.context_tokens,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def token_roles(tokenizer: Tokenizer, size: RandomSize, text: str | None = None) -> TokenRoles:
    """``text``: whose words count as such; what `train_tokenizer` was trained on, unless given."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    whole = set(re.findall(r"[a-z]{2,}", _training_text() if text is None else text))
    words, marks = [], []
    for i in range(min(_LEARNED_TOKENS, size.learned_tokens)):
        token = tokenizer.decode([i])
        if (token[:1] == " " and token[1:] in whole) or re.fullmatch(r"[\u4e00-\u9fff]{2,}", token):
            words.append(i)
        elif token in _MARKS:
            marks.append(i)
    return TokenRoles(
        words=tuple(words),
        marks=tuple(marks),
        units=range(size.vocabulary - size.units, size.vocabulary),
        bos=vocabulary[BOS],
        blank=vocabulary[BLANK],
        eot=vocabulary[EOT],
        eos=(vocabulary[EOS], vocabulary[EOM], vocabulary[EOT]),
    )


def _train(tokens: int) -> dict[str, Any]:
    """Vocabulary and merges of a BPE trained on the text, lower ids first."""
    tokenizer = Tokenizer(models.BPE())
    _set_byte_level(tokenizer)
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=_LONGEST_TOKEN_BYTES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_text().splitlines(), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


def _training_text() -> str:
    return resources.files("stream_omni_build").joinpath("tokenizer_text.txt").read_text(encoding="utf-8")


def _byte_level(text: str) -> str:
    """A text as byte-level vocabularies write it: " circle" is "Ġcircle"."""
    return "".join(token for token, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(text))


def _set_byte_level(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()


def _special_tokens(size: RandomSize) -> list[str]:
    """In Llama 3.1's order; the fewest are those that something reads."""
    if size.special_tokens == len(_FEWEST_SPECIAL):
        return list(_FEWEST_SPECIAL)

    def reserved(begin: int, end: int) -> list[str]:
        return [f"<|reserved_special_token_{i}|>" for i in range(begin, end)]

    named = [BOS, EOS, *reserved(0, 2), _PADDING, *reserved(2, 3), *_HEADER, EOM, EOT, "<|python_tag|>"]
    return [*named, *reserved(3, 3 + size.special_tokens - len(named))]
