"""Whole turns in process run on untrained tensors, and are what the engines make of each by itself."""

from __future__ import annotations

import numpy as np
from PIL import Image
from stream_omni_demo.language.conversing import Conversation, Turn
from stream_omni_demo.language.served import Trained
from stream_omni_demo.trainee import Tensors

from stream_omni.prompt import Question
from tests.demo.language.small_house import some_units


def test_turns_of_all_kinds(info, tokenizer, tensors: Tensors):
    conversation = Conversation(Trained(info, tensors), info, tokenizer)
    picture = Image.new("RGB", (64, 48), (200, 30, 30))
    units = some_units(np.random.default_rng(0), 12)
    turns = [
        Turn(Question(text="What colour is the circle?")),
        Turn(Question(text="What colour is the circle?", pictures=1), picture),
        Turn(Question(units=units)),
        Turn(Question(units=units, pictures=1), picture),
    ]
    together = conversation.answers(turns)
    assert together == [conversation.answers([turn])[0] for turn in turns]
    assert all(isinstance(text, str) for text in conversation.heard([turns[2].question, turns[3].question]))


def test_speech_of_several_texts(info, tokenizer, tensors: Tensors):
    conversation = Conversation(Trained(info, tensors), info, tokenizer)
    texts = ["The circle is red.", "Hello."]
    for question in (None, Question(units=some_units(np.random.default_rng(1), 9))):
        spoken = conversation.speak(texts, question)
        for speech, text in zip(spoken, texts, strict=True):
            assert len(speech.ids) == len(speech.counts) > 0
            ended = speech.ids[-1] in info.vocabulary.eos
            assert speech.ended == ended and (ended or len(speech.ids) == 14 * (1 + len(tokenizer.encode(text))))
            assert isinstance(conversation.said(speech), str)
