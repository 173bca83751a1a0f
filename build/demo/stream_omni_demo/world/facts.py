"""Numbers and simple facts: closed, as the words are."""

from __future__ import annotations

import itertools

from stream_omni_demo.world.topic import THEN, Case, Topic, asked
from stream_omni_demo.world.words import NUMBERS


def _pairs(first: str, second: str, *pairs: tuple[str, str]) -> tuple[Case, ...]:
    return tuple({first: a, second: b} for a, b in pairs)


_COUNTS = tuple({"n": NUMBERS[n - 1], "counted": ", ".join(NUMBERS[:n])} for n in range(2, 11))
_SUMS = tuple(
    {"a": NUMBERS[a - 1], "b": NUMBERS[b - 1], "c": NUMBERS[a + b - 1]} for a in range(1, 10) for b in range(1, 11 - a)
)
_DIFFERENCES = tuple({"a": case["c"], "b": case["b"], "c": case["a"]} for case in _SUMS)
_STEPS = _pairs("a", "b", *itertools.pairwise(NUMBERS))
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OPPOSITES = _pairs("a", "b", ("big", "small"), ("left", "right"), ("top", "bottom"), ("black", "white"))
_OPPOSITES += _pairs("a", "b", ("day", "night"), ("yes", "no"))

FACTS: tuple[Topic, ...] = (
    Topic(
        "count to",
        (
            f"{THEN} (please|) count (up|) to {{n}} (for me|).",
            "(please|) count from one to {n}.",
            "(can|could) you (please|) count (up|) to {n}?",
            "(can|could) you count from one to {n}?",
            "(please|) say the numbers (up|from one) to {n}.",
            "I want you to count to {n}.",
            "let me hear you count to {n}.",
        ),
        "{counted}.",
        (),
        _COUNTS,
    ),
    Topic(
        "sum",
        (
            *asked("(what is|what's|how much is) {a} (plus|and) {b}", "(what|how much) {a} (plus|and) {b} (is|makes)"),
            "(please|) add {a} and {b}.",
            "what (do|does) {a} (plus|and) {b} make?",
            "(what is|what's) the sum of {a} and {b}?",
            "if I have {a} and {b}, how many are there?",
        ),
        "the answer is {c}.",
        ("{c}",),
        _SUMS,
    ),
    Topic(
        "difference",
        (
            *asked("(what is|what's|how much is) {a} minus {b}", "(what|how much) {a} minus {b} (is|makes)"),
            "(please|) take {b} from {a}.",
            "what (do|does) {a} minus {b} make?",
            "if I take {b} from {a}, how many are there?",
        ),
        "the answer is {c}.",
        ("{c}",),
        _DIFFERENCES,
    ),
    Topic(
        "next number",
        (*asked("(what|which number|what number) comes after {a}", "(what|which number) comes after {a}"),),
        "the answer is {b}.",
        ("{b}",),
        _STEPS,
    ),
    Topic(
        "number before",
        (*asked("(what|which number|what number) comes before {b}", "(what|which number) comes before {b}"),),
        "the answer is {a}.",
        ("{a}",),
        _STEPS,
    ),
    Topic(
        "colour of the world",
        (
            *asked("(what|which) colour is {it}", "(what|which) colour {it} (is|has)"),
            *asked("(what is|what's) the colour of {it}", "the colour of {it}"),
            "(what|which) colour does {it} have?",
        ),
        "{it} is {colour}.",
        ("{colour}",),
        _pairs(
            "it", "colour", ("the sky", "blue"), ("the grass", "green"), ("the snow", "white"), ("the night", "black")
        )
        + _pairs("it", "colour", ("a banana", "yellow"), ("a tomato", "red")),
    ),
    Topic(
        "animals",
        (
            *asked("what does {it} say", "what {it} says"),
            "what sound does {it} make?",
            "how (does|can) {it} talk?",
            "what does {it} say when it talks?",
            "(please|) say what {it} says.",
        ),
        "{it} says {sound}.",
        ("{sound}",),
        _pairs("it", "sound", ("a cat", "meow"), ("a dog", "woof")),
    ),
    Topic(
        "parts",
        (
            *asked("how many {parts} does {it} have", "how many {parts} {it} has"),
            "(what is|what's) the number of {parts} of {it}?",
            "(do you know|I want to know|I would like to know) how many {parts} {it} has.",
        ),
        "{it} has {n} {parts}.",
        ("{n}",),
        tuple(
            {"it": it, "n": n, "parts": parts}
            for it, n, parts in (
                ("a cat", "four", "legs"),
                ("a dog", "four", "legs"),
                ("a car", "four", "wheels"),
                ("a triangle", "three", "sides"),
                ("a square", "four", "sides"),
                ("a week", "seven", "days"),
            )
        ),
    ),
    Topic(
        "days",
        (
            *asked("(what|which|what day|which day) comes after {a}", "(what|which day) comes after {a}"),
            *asked("(what|which day) is the day after {a}", "(what|which day) is after {a}"),
        ),
        "the day after {a} is {b}.",
        ("{b}",),
        _pairs("a", "b", *zip(_DAYS, (*_DAYS[1:], _DAYS[0]), strict=True)),
    ),
    Topic(
        "opposites",
        (
            *asked("(what is|what's) the opposite of {a}", "(the opposite of {a}|what the opposite of {a} is)"),
            "(please|) (say|name) the opposite of {a}.",
        ),
        "the opposite of {a} is {b}.",
        ("{b}",),
        (*_OPPOSITES, *({"a": case["b"], "b": case["a"]} for case in _OPPOSITES)),
    ),
    Topic(
        "capitals",
        (
            *asked("(what is|what's) the capital of {a}", "(the capital of {a}|what the capital of {a} is)"),
            "(please|) (say|name) the capital of {a}.",
        ),
        "the capital of {a} is {b}.",
        ("{b}",),
        _pairs("a", "b", ("France", "Paris"), ("Italy", "Rome")),
    ),
)
