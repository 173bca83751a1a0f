"""Batches of turns: typed, spoken and imagined questions, each as it would be served."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stream_omni_demo.language.answering import Answering
from stream_omni_demo.language.answering_batches import AnsweringBatches, AnsweringSizes, Listener
from stream_omni_demo.language.imagined import Imagination
from stream_omni_demo.language.served import Trained
from stream_omni_demo.language.utterances import Utterance
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.world.sampling import exchange_of

from stream_omni.prompt import Question, build_prompt
from stream_omni.text_engine import FROM_EMBEDS
from stream_omni.transcript import collapse

SIZES = AnsweringSizes(pictures=2, typed=3, imagined=2, typed_alone=2, imagined_alone=2, spoken=3)


@pytest.fixture
def batches(world_info, world_tokenizer) -> AnsweringBatches:
    generator = np.random.default_rng(0)
    spoken = [
        Utterance(text, "someone", (generator.integers(0, 512, 40),))
        for text in ("What colour is the circle?", "How many stars are there?", "How are you?")
    ]
    bottom = Trained(world_info, Tensors.random(world_info, "model", 0)).network("speech_bottom_step")
    listener = Listener(world_info, bottom, spoken)
    return AnsweringBatches(world_info, world_tokenizer, Imagination(world_info.vocabulary.blank), 4, listener)


def test_rows_are_prompts_with_their_answers(world_info, world_tokenizer, batches):
    vocabulary, seen = world_info.vocabulary, {"typed": 0, "imagined": 0, "spoken": 0}
    ending = build_prompt(world_tokenizer, world_info, Question(text="Hello")).ids[-5:].tolist()
    for step in range(6):
        for questions in batches.of(step, SIZES):
            assert questions.beginnings.heard is None, "text that is read aloud stands for itself, nearly"
            for rest in questions.rests:
                for row, length in enumerate(rest.asked.lengths.tolist()):
                    ids, at = rest.asked.ids[row, :length].tolist(), int(rest.answer_at[row])
                    assert ids[-1] == vocabulary.eot and vocabulary.eot not in ids[at:-1]
                    if ids[0] == FROM_EMBEDS:
                        assert set(ids[:at]) == {FROM_EMBEDS}
                        seen["spoken"] += 1
                        continue
                    assert ids[at - 5 : at] == ending
                    labels = np.array(ids[: at - 5])
                    kind = "imagined" if vocabulary.blank in labels else "typed"
                    seen[kind] += 1
    assert all(seen.values())


def test_imagined_speech_is_the_question(world_info, world_tokenizer):
    blank = world_info.vocabulary.blank
    words = world_tokenizer.encode("What colour is the circle on the left?")
    generator, exact = np.random.default_rng(0), 0
    for _ in range(100):
        labels = Imagination(blank).labels(words, generator)
        exact += collapse(labels, blank) == words
        assert len(labels) > 3 * (len(words) - 2)
        thin = Imagination(blank).labels(words, generator, kept=0.2)
        assert len(thin) < len(words) * 4
    assert 60 < exact < 100, "now and then a word is misheard"


def test_imagination_takes_after_what_was_heard():
    heard = [np.array([9, 9, 1, 1, 9, 2, 3, 9, 9, 9]), np.array([4, 9])]
    imagination = Imagination.like(heard, blank=9)
    assert imagination == Imagination(9, gaps=[2, 1, 0, 0], runs=[2, 1, 1, 1], ends=[3, 1])
    assert Imagination.like([], blank=9) == Imagination(9)


def test_the_answer_is_right(world_info, world_tokenizer, batches):
    """What is typed beside no picture is a conversation, or a question about a picture that is not there."""
    _, alone = batches.of(1, SIZES)
    for rest in alone.rests:
        for row, length in enumerate(rest.asked.lengths.tolist()):
            at = int(rest.answer_at[row])
            if rest.asked.ids[row, 0] != FROM_EMBEDS and world_info.vocabulary.blank not in rest.asked.ids[row, :at]:
                ids = rest.asked.ids[row].tolist()
                question = world_tokenizer.decode(ids[:at]).rpartition("user")[2].removesuffix("assistant\n\n").strip()
                answer = world_tokenizer.decode(ids[at:length])
                exchange = exchange_of(question, None) or exchange_of(question + "?", None)
                assert exchange is None or exchange.is_right(answer)


def test_spoken_rows_hear_with_the_bottom_stack_and_all_train(world_info, batches):
    tensors, answering = Tensors.random(world_info, "model", 0), Answering(world_info)
    found = batches.of(0, SIZES)
    again = batches.of(0, SIZES)
    assert all(torch.equal(a.rests[0].asked.ids, b.rests[0].asked.ids) for a, b in zip(found, again, strict=True))
    loss = tensors.run(answering, found)
    loss.backward()
    assert torch.isfinite(loss) and 5 < loss.item() < 12
