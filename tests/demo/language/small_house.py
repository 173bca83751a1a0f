"""A checkpoint's description and tokenizer in miniature, for tests of the language stages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from stream_omni_build.random_tokenizer import CHAT_TEMPLATE
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as RustTokenizer

from stream_omni.model_info import ImageLayout, LlamaSizes, ModelInfo, Rope, VisionSizes, Vocabulary
from stream_omni.tokenizer import Tokenizer

UNITS = 24
SPECIAL = [
    *("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"),
]
TEXT = [
    "You see and talk.",
    "system user assistant",
    "What colour is the circle? What is on the left? Hello. How many stars are there?",
    "The circle is red. A blue star is on the left. Hello, I see and talk. There are two stars.",
]
_PIECES = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def write_tokenizer(folder: Path) -> Tokenizer:
    """Whole words, each one token."""
    rust = RustTokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    rust.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    rust.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False))
    rust.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    rust.add_tokens([AddedToken(f"<Audio_{i}>", special=False, normalized=False) for i in range(UNITS)])
    bos = SPECIAL[0]
    rust.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, rust.token_to_id(bos))]
    )
    folder.mkdir(parents=True, exist_ok=True)
    rust.save(str(folder / "tokenizer.json"))
    config = {"bos_token": bos, "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokenizer(folder)


def small_info(tokenizer: Tokenizer, units: int = UNITS) -> ModelInfo:
    def id_of(token: str) -> int:
        found = tokenizer.id_of(token)
        assert found is not None
        return found

    vocabulary = Vocabulary(
        size=tokenizer.size,
        text_size=tokenizer.size - units,
        units=units,
        bos=id_of(SPECIAL[0]),
        eot=id_of("<|eot_id|>"),
        blank=id_of("<|reserved_special_token_0|>"),
        eos=(id_of("<|end_of_text|>"), id_of("<|eot_id|>")),
    )
    return ModelInfo(
        name="small",
        llama=LlamaSizes(48, 96, 3, 1, 16, 2, 2, 2, rms_norm_eps=1e-5, rope=Rope(theta=500000.0, factor=8.0)),
        vocabulary=vocabulary,
        vision=VisionSizes(32, 64, 2, 2, 384, 96, layer_norm_eps=1e-6),
        image=ImageLayout("pad", "flat", ((384, 384),)),
        context_tokens=512,
        system_prompt="You see and talk.",
    )


def some_units(generator: np.random.Generator, count: int) -> tuple[int, ...]:
    return tuple(int(unit) for unit in generator.integers(0, UNITS, count))
