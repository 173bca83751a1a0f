"""Manifests: what is asked, what counts as right, and mistakes that are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stream_omni_eval.manifest import Item, ManifestError, read_manifest


@pytest.fixture
def write(tmp_path: Path):
    for name in ("a.wav", "b.wav", "a.png", "b.png"):
        (tmp_path / name).touch()

    def write(*lines: dict[str, Any] | str) -> Path:
        path = tmp_path / "questions.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts), encoding="utf-8")
        return path

    return write


def test_items_are_read_with_paths_beside_the_file(write, tmp_path: Path) -> None:
    first, second = read_manifest(
        write(
            {
                "text": "What is it?",
                "audio": "a.wav",
                "image": "a.png",
                "keywords": ["grey|silver", "cat"],
                "group": "x",
            },
            "",
            {"name": "two", "audio": "b.wav", "transcript": "Hi", "image": ["a.png", "b.png"], "answers": ["Hello."]},
        )
    )
    assert first == Item(
        *("1", "x", "What is it?", tmp_path / "a.wav", "What is it?", (tmp_path / "a.png",)),
        keywords=(("grey", "silver"), ("cat",)),
    )
    assert (second.name, second.group, second.text, second.transcript) == ("two", "all", None, "Hi")
    assert second.images == (tmp_path / "a.png", tmp_path / "b.png")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("It is a gray cat.", True),
        ("A silver Cat", True),
        ("It is grey.", False),
        ("It is a grey cat, not a dog.", False),
        ("", False),
    ],
)
def test_all_keywords_and_no_forbidden_word_make_an_answer_right(answer: str, right: bool) -> None:
    item = Item("1", "all", "?", keywords=(("grey", "silver"), ("cat",)), forbidden=("dog",))
    assert item.is_right(answer) is right


def test_whole_words_count_and_several_may_be_one_keyword() -> None:
    item = Item("1", "all", "?", keywords=(("light blue",),))
    assert item.is_right("The light-blue one.")
    assert not item.is_right("A blue light.")
    assert not Item("1", "all", "?", keywords=(("cat",),)).is_right("caterpillar")


def test_right_answers_are_compared_word_for_word() -> None:
    item = Item("1", "all", "?", answers=("One, two, three.", "1 2 3 and so on"))
    assert item.is_right("one two 3") and item.is_right("One two three and so on!")
    assert not item.is_right("One, two, three, four.")
    assert Item("1", "all", "?", answers=("Yes.",), keywords=(("red",),)).is_right("It is red.")
    assert Item("1", "all", "?").is_right("Anything.") is None
    assert Item("1", "all", "?", forbidden=("red",)).is_right("It is blue.") is True


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: Expecting"),
        ("[]", "line 2: it is no JSON object"),
        ({"text": "?", "keyword": ["a"]}, "there is no key keyword; there are answers, audio"),
        ({"image": "a.png"}, "it has neither text nor audio"),
        ({"audio": "c.wav"}, "c.wav does not exist"),
        ({"text": "?", "image": ["a.png", "c.png"]}, "c.png does not exist"),
        ({"text": 3}, "text is 3; it must be a text"),
        ({"text": "?", "keywords": "cat"}, "keywords is 'cat'; it must be a list of words"),
        ({"text": "?", "answers": ["..."]}, "it must be a list of words"),
        ({"text": "?", "source_audio": "a.wav"}, "source_audio and source_text belong together"),
        ({"text": "?", "name": "1"}, "several items have the name 1"),
    ],
)
def test_mistakes_are_named(write, line: dict[str, Any] | str, message: str) -> None:
    with pytest.raises(ManifestError, match="questions") as raised:
        read_manifest(write({"text": "?"}, line))
    assert message in str(raised.value)


def test_an_empty_manifest_is_refused(write) -> None:
    with pytest.raises(ManifestError, match="holds no item"):
        read_manifest(write("", " "))
