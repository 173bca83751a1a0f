from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
from stream_omni_eval import judge
from stream_omni_eval.judge import Judge
from stream_omni_eval.words import word_error_rate, words_of

QUESTION = Path(__file__).parents[2] / "build" / "demo" / "media" / "question.wav"


@pytest.mark.parametrize(
    ("reference", "heard", "rate"),
    [
        ("one two three four", "one two three four", 0.0),
        ("one two three four", "one two four", 0.25),  # left out
        ("one two three four", "one two big three four", 0.25),  # put in
        ("one two three four", "one too three for", 0.5),  # exchanged
        ("one two three four", "", 1.0),
        ("one", "a b c d", 4.0),
        ("a b c d", "b c d a", 0.5),
    ],
)
def test_every_wrong_word_counts_once(reference: str, heard: str, rate: float) -> None:
    assert word_error_rate([reference], [heard]) == rate


def test_all_words_weigh_the_same_in_whichever_text_they_are() -> None:
    assert word_error_rate(["a", "b c d"], ["x", "b c d"]) == 0.25


def test_no_words_have_no_rate() -> None:
    with pytest.raises(ValueError, match="no words"):
        word_error_rate(["..."], ["hello"])
    with pytest.raises(ValueError, match="argument"):
        word_error_rate(["a", "b"], ["a"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What COLOR is it?", "what colour is it"),
        ("There are 3 gray cats, and 12 dogs.", "there are three grey cats and twelve dogs"),
        ("21, 40 and 305", "twenty one forty and three zero five"),
        ("It’s red; they don't see: I'm OK!", "it is red they do not see i am okay"),
        ("I can't. I cannot. I won't.", "i can not i can not i will not"),
        ("'Where's the cat's tail?'", "where is the cat's tail"),
        ("light-blue", "light blue"),
        ("  ", ""),
    ],
)
def test_spelling_that_cannot_be_heard_does_not_count(text: str, words: str) -> None:
    assert words_of(text) == words.split()


def test_missing_packages_are_told_with_the_way_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"faster_whisper.*base_2 is not installed: pip install"):
        Judge()


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number, name in enumerate(judge._PACKAGES, start=1):
        data = tmp_path / name
        data.mkdir()
        (data / f"model.bin.part{number}").write_bytes(b"weights")
        for small in judge._SMALL_FILES:
            (data / small).write_text("{}", encoding="utf-8")
    monkeypatch.setattr(judge, "_data", lambda package: tmp_path / package)
    with pytest.raises(RuntimeError, match="another model"):
        judge._assemble(tmp_path / "cache")
    assert not (tmp_path / "cache" / "model.bin").exists()


@pytest.mark.skipif(find_spec("faster_whisper") is None, reason="the extra `eval` is not installed")
def test_the_shipped_question_is_heard() -> None:
    samples, rate_hz = soundfile.read(QUESTION, dtype="float32")
    heard = Judge().transcribe(samples, rate_hz)
    assert word_error_rate(["What colour is the circle on the left?"], [heard]) == 0.0
