"""What the items of a session ask of the model."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from stream_omni_client import Mark
from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.realtime.conversation import Conversation, ask
from stream_omni_client.gateway.realtime.items import Answer, Item, Part, Picture, Speech, Words

LOUD = np.ones(1600, np.int16)


def user(*parts: Part | str) -> Item:
    return Item("user", [Words(part) if isinstance(part, str) else part for part in parts])


def assistant(text: str, heard_ms: int | None = None) -> Item:
    """Spoken, a word each 100 ms."""
    marks, place = [], 0
    for n, word in enumerate(text.split()):
        begin = text.index(word, place)
        place = begin + len(word)
        marks.append(Mark(begin, place, 100 * n))
    return Item("assistant", [Answer(True, text, marks, 100 * len(marks), heard_ms)])


def system(text: str) -> Item:
    return Item("system", [Words(text)])


def speech(transcript: str | None = None, samples: np.ndarray | None = LOUD) -> Speech:
    spoken = Speech(samples, transcript, asyncio.Event())
    spoken.settled.set()
    return spoken


def turns(*items: Item) -> list[tuple[str, str]]:
    return [(turn["role"], turn["text"]) for turn in ask(items, None, 4).history]


def test_the_last_words_are_the_question_and_the_rest_is_history() -> None:
    question = ask([user("one"), assistant("two"), user("three")], "be kind", 4)
    assert (question.text, question.speech, question.system) == ("three", None, "be kind")
    assert question.history == [{"role": "user", "text": "one"}, {"role": "assistant", "text": "two"}]


def test_earlier_speech_is_history_by_its_transcript() -> None:
    assert turns(user(speech("hello")), assistant("hi"), user("and?")) == [("user", "hello"), ("assistant", "hi")]
    assert turns(user(speech(None)), user("and?")) == []  # it was never understood


def test_of_an_answer_only_what_was_heard_is_history() -> None:
    assert turns(user("go"), assistant("one two three", heard_ms=150), user("and?"))[1] == ("assistant", "one two")
    assert turns(user("go"), assistant("one two three", heard_ms=100), user("and?"))[1] == ("assistant", "one")
    assert turns(user("go"), assistant("one two three"), user("and?"))[1] == ("assistant", "one two three")


def test_an_answer_of_which_nothing_was_heard_never_happened() -> None:
    """So whoever goes on speaking goes on with his question."""
    spoken = speech()
    question = ask([user(speech("show me")), assistant("one", heard_ms=0), user(spoken)], None, 4)
    assert question.speech is spoken
    assert question.history == [{"role": "user", "text": "show me"}]


def test_a_question_can_be_put_again_when_its_answer_failed() -> None:
    spoken = speech()
    assert ask([user(spoken), assistant("one two", heard_ms=0)], None, 4).speech is spoken
    assert ask([user(speech("hello", None))], None, 4).text == "hello"  # its sound is gone, its words are known


def test_written_words_beside_speech_go_before_it() -> None:
    question = ask([user("look at this:", speech())], None, 4)
    assert question.text is None and question.speech is not None
    assert question.history == [{"role": "user", "text": "look at this:"}]


def test_system_messages_join_the_instructions() -> None:
    question = ask([system("no jokes"), user("one"), system("short")], "be kind", 4)
    assert question.system == "be kind\n\nno jokes\n\nshort"
    assert question.history == []


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([], "nothing to answer"),
        ([user("one"), assistant("two")], "nothing to answer"),
        ([user(Picture(b"p"))], "a picture needs words"),
        ([user(speech(None, None))], "no words that could be understood"),
    ],
)
def test_what_asks_nothing_is_refused(items: list[Item], complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint):
        ask(items, None, 4)


def test_the_model_sees_the_pictures_shown_last() -> None:
    a, b, c = (Picture(name) for name in (b"a", b"b", b"c"))
    shown = [user(a), user(b, "which?"), assistant("this"), user("why?"), assistant("so"), user("really?")]
    assert ask(shown[:2], None, 4).pictures == [b"a", b"b"]
    assert ask(shown, None, 4).pictures == [b"a", b"b"]  # still the same
    assert ask([*shown, assistant("yes"), user(c, "and this?")], None, 4).pictures == [b"c"]
    assert ask([user("hello")], None, 4).pictures == []


def test_pictures_and_sound_that_no_question_needs_are_let_go() -> None:
    conversation = Conversation(100)
    for number in range(6):
        conversation.add(user(Picture(bytes([number])), speech("look")))
    conversation.forget_what_is_used(4)
    kept = [picture.encoded for item in conversation.items for picture in item.pictures]
    assert kept == [None, None, b"\2", b"\3", b"\4", b"\5"]
    assert all(item.speech is not None and item.speech.samples is None for item in conversation.items)


def test_the_oldest_items_make_room() -> None:
    conversation = Conversation(2)
    items = [user(str(number)) for number in range(4)]
    for item in items:
        conversation.add(item)
    assert conversation.items == items[2:]


def test_items_have_places() -> None:
    conversation = Conversation(100)
    first, second, third, fourth = (user(str(number)) for number in range(4))
    conversation.add(first)
    conversation.add(second)
    conversation.add(third, first.id)
    conversation.add(fourth, "root")
    assert conversation.items == [fourth, first, third, second]
    assert [conversation.before(item) for item in (fourth, first)] == [None, fourth.id]
    with pytest.raises(ApiError, match="no item 'item_x'"):
        conversation.add(user("x"), "item_x")
    with pytest.raises(ApiError, match="already"):
        conversation.add(first)


def test_nobody_can_have_heard_more_than_time_has_passed() -> None:
    answer = Answer(True, "one two three", [Mark(0, 3, 0), Mark(4, 7, 400), Mark(8, 13, 800)], 1200, None, 100.0)
    answer.bound_heard(100.5, is_whole=True)
    assert (answer.heard_ms, answer.heard) == (500, "one two")
    whole = Answer(True, "one", [Mark(0, 3, 0)], 200, None, 100.0)
    whole.bound_heard(101.0, is_whole=True)
    assert whole.heard_ms is None
    cut = Answer(True, "one two", [Mark(0, 3, 0)], 200, None, 100.0)  # its text was ahead of its sound
    cut.bound_heard(101.0, is_whole=False)
    assert (cut.heard_ms, cut.heard) == (200, "one")
