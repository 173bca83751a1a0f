"""The language model in training is the served one: what shares a beginning has the logits of prompts read alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stream_omni_demo.language.answering import Answering, Asked, Questions, Rest, answer_places
from stream_omni_demo.language.hearing import hear
from stream_omni_demo.language.reading import Context, padded
from stream_omni_demo.language.served import Trained
from stream_omni_demo.trainee import Tensors

from stream_omni.llm_prompt import llm_prompt
from stream_omni.model_info import ModelInfo
from stream_omni.prompt import IMAGE_ID, Message, Prompt, Question, build_prompt
from stream_omni.runtime.session import Array
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import FROM_EMBEDS, TextEngine, TextRequest, TextStep
from stream_omni.tokenizer import Tokenizer
from tests.demo.language.small_house import some_units

ANSWERS = ["The circle is red.", "Hello.", "There are two stars."]


def first_pictures(info: ModelInfo, count: int) -> torch.Tensor:
    side = info.vision.image_size_px
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(4))


def distribution(info: ModelInfo, tensors: Tensors, ids: Array) -> Array:
    """[L, text_size] of the CTC labels, by the served network's own parts."""
    bottom = Trained(info, tensors, as_written=None).network("speech_bottom_step")
    with torch.no_grad():
        context = Context.empty(info.llama, info.llama.bottom_layers)
        _, logits, _ = hear(bottom, torch.from_numpy(ids)[None], torch.tensor([len(ids)]), context)
    return logits[0].softmax(-1).numpy()


def batch(
    info: ModelInfo, tokenizer: Tokenizer, tensors: Tensors, prompts: list[Prompt], parents: list[int], pixels: object
) -> Questions:
    """Rows with their beginnings up to the picture, or up to what all share."""
    eot, patches = info.vocabulary.eot, info.vision.patches
    beginnings, rests, heard, answer_at = {}, [], {"beginnings": {}, "rest": []}, []
    for prompt, parent, answer in zip(prompts, parents, ANSWERS, strict=True):
        cut = prompt.image_at[0] if prompt.image_at else prompt.shared_tokens
        before, after = prompt.ids[:cut], prompt.ids[cut + len(prompt.image_at) :]
        if prompt.audio_span:
            shares = distribution(info, tensors, prompt.spoken_ids)
            heard["beginnings"][parent], before = shares[:cut], np.full_like(before, FROM_EMBEDS)
            heard["rest"].append(shares[cut:])
            after = np.full_like(after, FROM_EMBEDS)
        beginnings[parent] = np.concatenate([before, np.zeros(patches * len(prompt.image_at), np.int64)])
        rests.append(np.concatenate([after, tokenizer.encode(answer), [eot]]))
        answer_at.append(len(after))
    ordered = sorted(beginnings)

    def asked(rows: list[Array], shares: list[Array]) -> Asked:
        return Asked(*padded(rows), torch.from_numpy(np.concatenate(shares)) if shares else None)

    shares = [heard["beginnings"][parent] for parent in sorted(heard["beginnings"])]
    return Questions(
        beginnings=asked([beginnings[p] for p in ordered], shares),
        rests=(Rest(asked(rests, heard["rest"]), torch.tensor(parents), torch.tensor(answer_at)),),
        pixels=pixels,
        picture_at=None if pixels is None else torch.tensor([len(beginnings[p]) - patches for p in ordered]),
    )


def served_logits(info: ModelInfo, runtime: Trained, prompt: Prompt, picture: Array | None, said: list[int]) -> list:
    """After the prompt, and after each further token of ``said``."""
    pictures = [] if picture is None else [picture]
    soft = (
        read_prompt(runtime.session("speech_bottom"), info, prompt.spoken_ids).soft_embeds
        if prompt.audio_span
        else None
    )
    ids, embeds = llm_prompt(prompt, pictures, info.llama.hidden, soft)
    steps: list[TextStep] = []
    engine = TextEngine(runtime.session("llm"), info, slots=1, probe=steps.append)
    for count in range(len(said)):
        request = TextRequest(
            np.concatenate([ids, np.array(said[:count], np.int64)]), embeds, 1, (info.vocabulary.eot,)
        )
        engine.start(count, request)
        while engine.has_work:
            engine.step()
    return [step.logits for step in steps]


HISTORY = (Message("user", "What is on the left?"), Message("assistant", "A blue star is on the left."))


@pytest.mark.parametrize("form", ["typed", "typed with pictures", "spoken", "spoken with pictures"])
def test_shared_beginnings_change_nothing(info, tokenizer, tensors: Tensors, form: str):
    generator = np.random.default_rng(2)
    with_picture = "pictures" in form
    # the first two share a picture and what was said before; the third has its own
    parents = [0, 0, 1] if with_picture else [0, 0, 0]
    prompts = []
    for parent, text in zip(
        [0, 0, 1], ["What colour is the circle?", "Hello", "How many stars are there?"], strict=True
    ):
        words = {"text": text} if "typed" in form else {"units": some_units(generator, len(text) // 2)}
        history = HISTORY if parent == 1 or not with_picture else ()
        prompts.append(build_prompt(tokenizer, info, Question(**words, pictures=int(with_picture), history=history)))
    pixels = first_pictures(info, 2) if with_picture else None
    questions = batch(info, tokenizer, tensors, prompts, parents, pixels)
    rows, at, targets = answer_places(questions.rests[0])
    answers = [[*tokenizer.encode(answer), info.vocabulary.eot] for answer in ANSWERS]
    assert targets.tolist() == [token for answer in answers for token in answer]

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answering = Answering(info)

        def forward(self) -> torch.Tensor:
            return self.answering.logits(questions.rests[0], self.answering.begin(questions), rows, at)

    ours = tensors.run(Logits()).detach().numpy()
    runtime = Trained(info, tensors, as_written=None)
    theirs = []
    for prompt, parent, answer in zip(prompts, parents, answers, strict=True):
        picture = None
        if pixels is not None:
            picture = runtime.session("vision_encoder").run({"pixels": pixels[parent : parent + 1].numpy()})[
                "projected"
            ][0]
        assert (IMAGE_ID in prompt.ids) == with_picture
        theirs += served_logits(info, runtime, prompt, picture, answer)
    np.testing.assert_allclose(ours, np.stack(theirs), atol=2e-4)


def test_steps_lower_the_loss_and_reach_every_tensor(info, tokenizer, tensors: Tensors):
    prompts = [
        build_prompt(tokenizer, info, Question(text=text, pictures=1)) for text in ("Hello", "What is red?", "Hello")
    ]
    questions = batch(info, tokenizer, tensors, prompts, [0, 1, 1], first_pictures(info, 2))
    answering = Answering(info)
    parameters = tensors.used_by(answering.llm)
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    found = []
    for _ in range(15):
        loss = tensors.run(answering, [questions])
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found[-1] < 0.5 * found[0]
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in parameters)
