"""A small real tokenizer of Llama 3's form: byte-level BPE, its special tokens, and one token per speech unit.

It is trained here, from `tokenizer_text.txt` (written for this purpose), so nothing of Meta's vocabulary is needed.
"""

from __future__ import annotations

import json
import re
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
    vocabulary: dict[str, int] = learned["vocab"]
    for i in range(len(vocabulary), size.learned_tokens):
        vocabulary[f"<|unused_token_{i}|>"] = i
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in learned["merges"]]))
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


def token_roles(tokenizer: Tokenizer, size: RandomSize) -> TokenRoles:
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    whole = set(re.findall(r"[a-z]{2,}", _training_text()))
    words, marks = [], []
    for i in range(_LEARNED_TOKENS):
        text = tokenizer.decode([i])
        if (text[:1] == " " and text[1:] in whole) or re.fullmatch(r"[\u4e00-\u9fff]{2,}", text):
            words.append(i)
        elif text in _MARKS:
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
