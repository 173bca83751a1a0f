"""Small talk: what everybody says, and what people ask a machine that talks."""

from __future__ import annotations

from stream_omni_demo.world.topic import TELL, THEN, Topic, asked

SMALL_TALK: tuple[Topic, ...] = (
    Topic(
        "greeting",
        (
            "(hello|hi) (there|Omni|my friend|).",
            "(hello|hi), nice to meet you.",
            "nice to meet you (Omni|).",
            "good day.",
        ),
        "hello, nice to meet you.",
        ("hello",),
    ),
    Topic(
        "time of day",
        ("good {time} (Omni|to you|my friend|).", "(hello|hi), good {time}.", "(hello|hi) and good {time}."),
        "good {time}.",
        ("good", "{time}"),
        ({"time": "morning"}, {"time": "evening"}, {"time": "night"}),
    ),
    Topic(
        "mood",
        (
            f"{THEN} how are you (today|doing|feeling|)?",
            "(hello|hi), how are you (today|)?",
            "are you (well|fine|happy) (today|)?",
            "how do you (do|feel) (today|)?",
            f"{TELL} how you (are|feel).",
        ),
        "I am fine, thank you.",
        ("fine",),
    ),
    Topic(
        "name",
        (
            *asked("(what is|what's) your name", "(what your name is|your name|what you are called|who you are)"),
            "who are you?",
            "what are you called?",
            "(do you have|have you got) a name?",
            "(hello|hi), (what is|what's) your name?",
            "(do you know|I want to know|I would like to know) your name.",
        ),
        "my name is Omni.",
        ("omni",),
    ),
    Topic(
        "nature",
        (
            *asked("what are you", "what you are"),
            "what (kind of|) (thing|computer) are you?",
            "are you a (computer|person|cat|friend)?",
            f"{TELL} (something|) about you.",
        ),
        "I am a small assistant.",
        ("assistant",),
    ),
    Topic(
        "skills",
        (
            *asked("what can you do", "what you can do"),
            "(how|what) can you help me (with|)?",
            "(can|could) you (please|) help me?",
            "what (can|could) I (ask|tell|show) you?",
            "what do you know?",
            "what are you good at?",
        ),
        "I can see pictures and talk.",
        ("see", "pictures", "talk"),
    ),
    Topic(
        "hearing",
        (
            "(can|do|could) you hear me (well|now|)?",
            "are you (there|here)?",
            "do you hear what I say?",
            "can you listen?",
        ),
        "yes, I can hear you.",
        ("hear",),
    ),
    Topic(
        "seeing",
        (
            "can you see?",
            "can you (see and talk|talk and see)?",
            "(can|do|could) you see pictures?",
            "can I show you a picture?",
            "do you have eyes?",
        ),
        "yes, I can see pictures.",
        ("see", "pictures"),
    ),
    Topic(
        "thanks",
        (
            "(thank you|thanks) (Omni|my friend|very much|for the answer|for your help|).",
            "(ok|good|well|yes), (thank you|thanks) (very much|).",
        ),
        "you are welcome.",
        ("welcome",),
    ),
    Topic(
        "praise",
        (
            "(well|very well) done (Omni|).",
            "you are (very|so|) (good|nice|right) (Omni|).",
            "that (is|was) (very|) (good|right|nice).",
            "(very|) good answer.",
            "I like you (very much|).",
        ),
        "thank you very much.",
        ("thank",),
    ),
    Topic(
        "goodbye",
        (
            "(goodbye|bye) (Omni|my friend|for now|).",
            "see you (soon|later|).",
            "(goodbye|bye), see you (soon|later).",
            "(ok|thank you), (goodbye|bye).",
            "I (have to|want to|would like to) go (now|).",
        ),
        "goodbye, see you soon.",
        ("goodbye",),
    ),
    Topic(
        "taste",
        (
            *asked("(what is|what's) your favourite colour", "(your favourite colour|what your favourite colour is)"),
            "(what|which) colour do you like (best|most|)?",
            f"{TELL} (what|which) colour you like.",
        ),
        "I like blue.",
        ("blue",),
    ),
    Topic(
        "unknown",
        (
            *asked("(what time is it|what day is it today|who am I|how old am I)", "(what time it is|who I am)"),
            "(what is|what's) the (time|weather|news) (today|now|)?",
            "how is the weather (today|)?",
            "(what is|what's) my name?",
            "how old are you?",
            "where (do you live|are you|am I)?",
        ),
        "I do not know.",
        ("not", "know"),
    ),
)

REPEAT_PATTERNS = (
    "(please|) (say|repeat) {words}.",
    "(please|) repeat (after me|this|the words), {words}.",
    "(please|) say (after me|this|the words), {words}.",
    "(can|could) you (please|) (say|repeat) {words}?",
    "(now|) say it after me, {words}.",
    "I want you to say {words}.",
    "let me hear you say {words}.",
)
