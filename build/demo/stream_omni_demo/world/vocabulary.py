"""All words of the domain, and the tokenizer that has each of them as one token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from stream_omni_build.random_tokenizer import TokenRoles, token_roles, tokenizer_of_words
from tokenizers import Tokenizer

from stream_omni_demo.sizes import DEMO, SYSTEM_PROMPT
from stream_omni_demo.world.paraphrase import Paraphrase
from stream_omni_demo.world.question import COMPARISONS, question_paraphrases
from stream_omni_demo.world.question_forms import QUESTION_PATTERNS
from stream_omni_demo.world.reference import known_phrases
from stream_omni_demo.world.talk import REPEATED_WORDS, conversation_paraphrases, conversations
from stream_omni_demo.world.typed import TYPED
from stream_omni_demo.world.words import BACKGROUND_COLOURS, COLOURS, NOUNS, NUMBERS, PLACES, SHAPE, THING, plural

_HEADERS = ("system", "user", "assistant", "\n\n")  # of the chat template
# Pieces as the tokenizer cuts them: a word takes the space before it, and "What's" is "What" and "'s"
_PIECE = re.compile(r"[ ']?[A-Za-z]+")
# What answers about pictures are made of, besides the words of lists
_ANSWER_FRAMES = (
    *("The background is", "There is a", "There is an", "There is no", "There is nothing next to the", "There are"),
    *("It is a", "I see no picture", "I see an and", "Yes, there is", "No, there is no", "Yes, it is", "No, the"),
    *(" bigger", " smaller", " biggest", " smallest", "A", "An"),
)
_LISTED = (*COLOURS, *BACKGROUND_COLOURS, *NUMBERS, *NOUNS, THING, SHAPE)


@cache
def answer_words() -> tuple[str, ...]:
    """The pieces that answers consist of, besides "." and ",": " circle", "The"; sorted."""
    texts = [*_ANSWER_FRAMES, *(exchange.answer for exchange in conversations())]
    listed = [*_LISTED, *(plural(noun) for noun in (*NOUNS, THING, SHAPE) if noun != "sun")]  # there is only one
    listed += [forms[0] for forms in PLACES.values()]
    return _sorted_pieces([*texts, *(f" {words}" for words in listed)])


@cache
def question_words() -> tuple[str, ...]:
    """The pieces of all questions as they are spoken; sorted."""
    fillers = [filler for phrases in _fillers().values() for filler in phrases]
    repeated = [re.sub(r"{\w+}", "", words) for words in REPEATED_WORDS]
    return _sorted_pieces([*_openings(), *(f" {words}" for words in (*fillers, *repeated))])


@cache
def all_words() -> tuple[str, ...]:
    """The pieces of all questions and answers, with those that are only typed: what a question begins with also
    without a capital, and American spelling; sorted."""
    small = [text[0].lower() + text[1:] for text in _openings() if not text.startswith("I ")]
    typed = [*small, *(f" {word}" for word in TYPED), SYSTEM_PROMPT]
    return tuple(sorted({*question_words(), *answer_words(), *_sorted_pieces(typed)}))


def pieces(text: str) -> list[str]:
    """The words of a text as they are in :func:`all_words`."""
    return _PIECE.findall(text)


def vocabulary_text() -> str:
    return "".join(all_words())


def demo_tokenizer() -> Tokenizer:
    """Llama 3's form: the bytes, the words of the domain, special tokens, units. What is no word of it is bytes."""
    return tokenizer_of_words(DEMO, [*_HEADERS, *all_words()])


def demo_token_roles(tokenizer: Tokenizer) -> TokenRoles:
    return token_roles(tokenizer, DEMO, vocabulary_text())


@cache
def _openings() -> tuple[str, ...]:
    """All questions, with the slots of those about pictures empty."""
    opened = [text for paraphrase in _all_paraphrases() for text in _opened(paraphrase)]
    return (*opened, *(exchange.question for exchange in conversations()))


def _all_paraphrases() -> Iterator[Paraphrase]:
    for kind in QUESTION_PATTERNS:
        yield from question_paraphrases(kind)
    yield from conversation_paraphrases()


def _opened(paraphrase: Paraphrase) -> Iterator[str]:
    """With its slots empty, but for one that it begins with."""
    empty = dict.fromkeys(paraphrase.slots, ".")
    if paraphrase.text.startswith("{"):
        first = paraphrase.slots[0]
        yield from (paraphrase.fill(empty | {first: filler}) for filler in _fillers()[first])
    else:
        yield paraphrase.fill(empty)


@cache
def _fillers() -> dict[str, list[str]]:
    """Of the slots that hold more than a word of a list."""
    places = [form for forms in PLACES.values() for form in forms]
    compared = [form for forms in COMPARISONS.values() for form in forms]
    return {slot: list(phrases) for slot, phrases in known_phrases().items()} | {"place": places, "bigger": compared}


def _sorted_pieces(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({piece for text in texts for piece in pieces(text)}))
