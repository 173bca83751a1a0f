"""How each kind of question about a picture is put into words.

Slots: ``{it}`` and ``{other}`` are definite references ("the red circle"), ``{a}`` an indefinite one, ``{its}`` a
plural; ``{place}`` is "on the left", ``{colour}`` a colour, ``{bigger}`` and ``{biggest}`` a comparison.
"""

from __future__ import annotations

_TELL = "(please|) tell me"
_CAN = "(can|could) you (please|) tell me"
_WANT = "I (want|would like) to know"
_THEN = "(and|so|now|)"
_PICTURE = "(the|this) picture"


def _asked(direct: str, indirect: str) -> tuple[str, ...]:
    """The same as a question of its own, and within another sentence."""
    return (
        f"{_THEN} {direct}?",
        f"{_TELL} {indirect}.",
        f"{_CAN} {indirect}?",
        f"(do you know|do you see|can you see|can you say) {indirect}?",
        f"{_WANT} {indirect}.",
    )


def _colour(it: str) -> tuple[str, ...]:
    return (
        *_asked(f"(what|which) colour is {it}", f"(what|which) colour {it} (is|has)"),
        f"(what's|what is) the colour of {it}?",
        f"(what|which) colour does {it} have?",
        f"(please|) (name|tell me) the colour of {it}.",
        f"{_CAN} the colour of {it}?",
        f"do you (know|see) the colour of {it}?",
        f"what colour is {it} (here|in the picture|in this picture)?",
        f"look at {it}, what colour is it?",
        f"in {_PICTURE}, (what|which) colour is {it}?",
    )


QUESTION_PATTERNS: dict[str, tuple[str, ...]] = {
    "colour": _colour("{it}"),
    "background": (*_colour("the background"), "(what's|what is|which is) the background colour?"),
    "what is at": (
        *_asked("(what is|what's) {place}", "what is {place}"),
        f"{_TELL} what you see {{place}}.",
        f"{_CAN} what you see {{place}}?",
        "{place}, what (is there|do you see|can you see)?",
        "(what is|what's) there {place}?",
        "what (do|can) you see {place}?",
        "(what|which) (thing|object) is {place}?",
        f"(what is|what's|what do you see) {{place}} (of|in) {_PICTURE}?",
        f"what does {_PICTURE} show {{place}}?",
        "look {place}, what (is there|do you see)?",
    ),
    "where": (
        *_asked("(where is|where's) {it}", "where {it} is"),
        "where (do|can) you see {it}?",
        f"where (is|do you see) {{it}} in {_PICTURE}?",
        f"where in {_PICTURE} (is|do you see) {{it}}?",
        "(please|) (show me|find out|say) where {it} is.",
        "what is the (place|position) of {it}?",
        "(please|) (tell me|show me|find) the (place|position) of {it}.",
        f"in which part of {_PICTURE} is {{it}}?",
        "look for {it}, where is it?",
        "where is {it} (here|now)?",
    ),
    "count": (
        *_asked("how many {its} are there", "how many {its} there are"),
        f"{_TELL} how many {{its}} you see.",
        "how many {its} (do|can) you (see|count)?",
        f"how many {{its}} are (there|) in {_PICTURE}?",
        f"how many {{its}} does {_PICTURE} (show|have)?",
        "how many {its} are (here|shown)?",
        "(please|) count the {its}.",
        f"(please|) count the {{its}} (for me|here|in {_PICTURE}).",
        "(can|could) you (please|) count the {its}?",
        "what is the number of {its}?",
        f"look at {_PICTURE}, how many {{its}} are there?",
    ),
    "exists": (
        *_asked("is there {a}", "if there is {a}"),
        "(do|can) you see {a}?",
        f"(do|can) you see {{a}} in {_PICTURE}?",
        f"is there {{a}} in {_PICTURE}?",
        f"does {_PICTURE} (show|have) {{a}}?",
        "(can|could) you find {a}?",
        "is {a} (here|there)?",
        "(please|) look for {a}, is there one?",
        "(are there|do you see|can you see) any {its}?",
        f"(are there|do you see) any {{its}} in {_PICTURE}?",
    ),
    "is colour": (
        *_asked("is {it} {colour}", "if {it} is {colour}"),
        "is the colour of {it} {colour}?",
        "is it (true|right) that {it} is {colour}?",
        "do you (think|see) that {it} is {colour}?",
        "would you say {it} is {colour}?",
        "does {it} have the colour {colour}?",
        "is {colour} the colour of {it}?",
        f"is {{it}} {{colour}} in {_PICTURE}?",
        "{it} is {colour}, is that (true|right)?",
    ),
    "which is bigger": (
        *_asked("(which|which one) is {bigger}, {it} or {other}", "(which|which one) is {bigger}, {it} or {other}"),
        "what is {bigger}, {it} or {other}?",
        "which (thing|object) is {bigger}, {it} or {other}?",
        "is {it} or {other} {bigger}?",
        "of {it} and {other}, which one is {bigger}?",
        f"which is {{bigger}} in {_PICTURE}, {{it}} or {{other}}?",
        "look at {it} and {other}, which is {bigger}?",
    ),
    "which of two": (
        *_asked("which (one|thing|object) is {bigger}", "which (one|thing|object) is {bigger}"),
        "(what|which) is {bigger}?",
        "which of (them|the two|the two things) is {bigger}?",
        "(what|which) is the {bigger} (one|thing|object)?",
        f"which (thing|object) in {_PICTURE} is {{bigger}}?",
    ),
    "which of all": (
        *_asked("which (one|thing|object) is (the|) {biggest}", "which (one|thing|object) is (the|) {biggest}"),
        "(what|which) is the {biggest} (one|thing|object)?",
        f"(what|which) is the {{biggest}} thing in {_PICTURE}?",
        "which of them is the {biggest}?",
        "what is the {biggest} (thing|object) you see?",
    ),
    "is bigger": (
        *_asked("is {it} {bigger} than {other}", "if {it} is {bigger} than {other}"),
        "is it true that {it} is {bigger} than {other}?",
        "do you (think|see) that {it} is {bigger} than {other}?",
        "would you say {it} is {bigger} than {other}?",
        f"is {{it}} {{bigger}} than {{other}} in {_PICTURE}?",
    ),
    "shape": (
        *_asked("(what|which) shape is {it}", "(what|which) shape {it} (is|has)"),
        "(what|which) shape does {it} have?",
        "(what's|what is) the shape of {it}?",
        "(please|) (name|tell me) the shape of {it}.",
        "do you (know|see) the shape of {it}?",
        "look at {it}, what shape is it?",
    ),
    "identity": (
        *_asked("(what is|what's) {it}", "what {it} is"),
        "(what|which) (kind of|) thing is {it}?",
        "what is {it} in (the|this) picture?",
        "look at {it}, what is it?",
        "what do you think {it} is?",
    ),
    "beside": (
        *_asked("(what is|what's) (next to|beside) {it}", "what is (next to|beside) {it}"),
        "what (do|can) you see (next to|beside) {it}?",
        "(what|which) (thing|object) is (next to|beside) {it}?",
        f"what is (next to|beside) {{it}} in {_PICTURE}?",
    ),
    "describe": (
        *_asked("what (do|can) you see", f"what (is in {_PICTURE}|{_PICTURE} shows)"),
        f"{_TELL} what you (can|) see.",
        f"{_CAN} what you see?",
        f"what (do|can) you see (here|in {_PICTURE}|on {_PICTURE})?",
        f"(what is|what's) (in|on) {_PICTURE}?",
        "what is (there|here|this)?",
        f"what does {_PICTURE} show?",
        f"what is (shown|to see) in {_PICTURE}?",
        f"(please|) describe {_PICTURE}.",
        "(please|) describe what you see.",
        f"(can|could) you (please|) describe {_PICTURE} (for me|)?",
        f"{_TELL} (something|) about {_PICTURE}.",
        f"look at {_PICTURE}, what do you see?",
        f"(please|) show me what (is in {_PICTURE}|you see).",
        "what (things|objects) (do|can) you see?",
        "what (things|objects) are (there|here)?",
        f"what (things|objects) are in {_PICTURE}?",
        f"(please|) name the (things|objects) in {_PICTURE}.",
        f"what can you (say|tell me) about {_PICTURE}?",
    ),
}
