from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.tokenizer import TextStream, Tokenizer, speakable_mask
from tests.small_tokenizer import SPECIAL, UNITS, write_small_tokenizer


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    write_small_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> Tokenizer:
    return Tokenizer(directory)


@pytest.mark.parametrize("text", ["", "The cat is black.", "猫是黑色的，对吗？", "  \n two\tspaces ", "👩🏽‍🚀 naïve ﷽"])
def test_text_survives(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_encoding_adds_nothing_and_knows_control_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|eot_id|><Audio_3>")
    assert ids == [tokenizer.id_of("<|eot_id|>"), tokenizer.id_of("<Audio_3>")]
    assert tokenizer.decode(ids) == "<Audio_3>"
    assert tokenizer.decode(ids, skip_special=False) == "<|eot_id|><Audio_3>"
    assert tokenizer.leading_ids == (tokenizer.id_of("<|begin_of_text|>"),)
    assert tokenizer.id_of("<|no such token|>") is None


@given(data=st.data())
def test_decoding_equals_the_tokenizers_own(directory: Path, tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1), max_size=30))
    own = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    for skip in (True, False):
        assert tokenizer.decode(ids, skip_special=skip) == own.decode(ids, skip_special_tokens=skip)


@given(data=st.data())
def test_streamed_pieces_join_to_the_whole(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(-1, tokenizer.size + 3), max_size=40))  # ids without a token included
    stream = TextStream(tokenizer)
    pieces = [stream.push(i) for i in ids]
    assert "".join([*pieces, stream.finish()]) == tokenizer.decode(ids)


@given(text=st.text(max_size=30))
def test_streamed_pieces_are_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    stream = TextStream(tokenizer)
    seen = ""
    for i in tokenizer.encode(text):
        seen += stream.push(i)
        assert text.startswith(seen)
    assert (seen, stream.finish()) == (text, "") or tokenizer.find_control_token(text)


def test_an_unfinished_character_is_withheld_until_the_end(tokenizer: Tokenizer) -> None:
    first, *_ = (tokenizer.id_of(token) for token in ("ð", "Ł"))  # first byte of an emoji
    stream = TextStream(tokenizer)
    assert stream.push(first) == ""
    assert stream.finish() == "\ufffd"


def test_speakable_ids(tokenizer: Tokenizer) -> None:
    mask = speakable_mask(tokenizer, tokenizer.size + 2)

    def speaks(text: str) -> bool:
        (token,) = tokenizer.encode(text)
        return bool(mask[token])

    assert all(map(speaks, ["a", "7", ",", ".", "?", "!", "<|eot_id|>", "<Audio_3>"]))
    assert not any(map(speaks, [":", "*", "(", " ", "\n", "-", ";"]))
    assert not mask[tokenizer.id_of("ð")]  # a lone byte
    assert mask[tokenizer.size - UNITS : tokenizer.size].all()
    assert not mask[tokenizer.size :].any()
    assert mask.dtype == np.bool_


@pytest.mark.parametrize("token", [*SPECIAL, "<Audio_3>", "<Audio_99999>", "<image>"])
def test_control_tokens_are_found(tokenizer: Tokenizer, token: str) -> None:
    assert tokenizer.find_control_token(f"Look: <{token} here") == token


@pytest.mark.parametrize("text", ["", "a < b > c", "<images>", "<|unknown|>", "<Audio_>", "< image >", "图像<图>"])
def test_ordinary_text_has_no_control_token(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.find_control_token(text) is None


def test_missing_and_foreign_tokenizers_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json does not exist"):
        Tokenizer(tmp_path)
    write_small_tokenizer(tmp_path)
    foreign = tokenizers.Tokenizer(tokenizers.models.BPE())
    foreign.decoder = tokenizers.decoders.Metaspace()
    foreign.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="not a byte-level tokenizer"):
        Tokenizer(tmp_path)
