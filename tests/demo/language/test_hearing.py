"""The bottom stack in training is the served one, and learns."""

from __future__ import annotations

import numpy as np
import torch
from stream_omni_demo.language.hearing import Heard, Hearing, ctc, hear
from stream_omni_demo.language.reading import Context, padded
from stream_omni_demo.language.served import Trained
from stream_omni_demo.trainee import Tensors

from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Question, build_prompt
from stream_omni.speech_prompt import read_prompt
from stream_omni.tokenizer import Tokenizer
from tests.demo.language.small_house import some_units


def prompts(info: ModelInfo, tokenizer: Tokenizer) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    questions = [Question(units=some_units(generator, count)) for count in (9, 14, 7)]
    return [build_prompt(tokenizer, info, question).spoken_ids for question in questions]


def test_levels_of_a_batch_give_what_each_prompt_gives_when_served(info, tokenizer, tensors: Tensors):
    whole = prompts(info, tokenizer)
    shared = 8
    rows, lengths = padded([ids[shared:] for ids in whole])
    more, more_lengths = padded([[7, 8], [9], [10, 11, 12]])
    parents = torch.tensor([2, 0, 2])

    class Levels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hearing = Hearing(info)

        def forward(self) -> list[torch.Tensor]:
            context = Context.empty(info.llama, info.llama.bottom_layers)
            first, first_lengths = padded([whole[0][:shared]])
            bottom = self.hearing.bottom
            _, _, context = hear(bottom, first, first_lengths, context)
            _, one, context = hear(bottom, rows, lengths, context.of(torch.zeros(3, dtype=torch.int64)))
            _, two, _ = hear(bottom, more, more_lengths, context.of(parents))
            return [one, two]

    one, two = tensors.run(Levels())
    session = Trained(info, tensors, as_written=None).session("speech_bottom")
    for row, ids in enumerate(whole):
        found = read_prompt(session, info, ids)
        ours = one[row, : lengths[row]]
        assert ours.argmax(-1).tolist() == found.ctc_ids[shared:].tolist()
        margins = ours.topk(2, -1).values
        np.testing.assert_allclose((margins[:, 0] - margins[:, 1]).detach(), found.ctc_margins[shared:], atol=1e-4)
    for row, parent in enumerate(parents.tolist()):
        ids = np.concatenate([whole[parent], more[row, : more_lengths[row]].numpy()])
        found = read_prompt(session, info, ids).ctc_ids[len(whole[parent]) :]
        assert two[row, : more_lengths[row]].argmax(-1).tolist() == found.tolist()


def test_ctc_looks_at_the_audio_alone_and_says_nothing_at_its_beginning(info):
    torch.manual_seed(0)
    logits = torch.randn(3, 12, info.vocabulary.text_size)
    begins, units, labels = [2, 0, 5], [6, 12, 7], [[3, 4], [5, 5, 9], [4]]
    level = Heard(
        ids=torch.zeros(3, 12, dtype=torch.int64),
        lengths=torch.tensor([12, 12, 12]),
        parents=torch.zeros(3, dtype=torch.int64),
        audio=torch.tensor([[begin, begin + count] for begin, count in zip(begins, units, strict=True)]),
        labels=torch.tensor([label for said in labels for label in said]),
        label_counts=torch.tensor([2, 3, 1]),
    )
    blank = info.vocabulary.blank
    log_probabilities = logits.log_softmax(-1)
    waiting = log_probabilities.clone()
    for row, begin in enumerate(begins):
        waiting[row, begin : begin + 4, torch.arange(waiting.shape[2]) != blank] = -1e4
    each = [
        torch.nn.functional.ctc_loss(
            waiting[row, begin : begin + count],
            torch.tensor(said),
            torch.tensor(count),
            torch.tensor(len(said)),
            blank,
            reduction="sum",
        )
        for row, (begin, count, said) in enumerate(zip(begins, units, labels, strict=True))
    ]
    torch.testing.assert_close(ctc(log_probabilities, level, blank), torch.stack(each).sum())


def test_steps_lower_the_losses(info, tokenizer, tensors: Tensors):
    whole = prompts(info, tokenizer)
    ids, lengths = padded(whole)
    units = [np.flatnonzero(row >= info.vocabulary.unit_offset) for row in whole]
    level = Heard(
        ids,
        lengths,
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([(at[0], at[-1] + 1) for at in units]),
        torch.tensor([40, 41, 42, 40]),
        torch.tensor([1, 2, 1]),
    )
    hearing = Hearing(info)
    parameters = tensors.used_by(hearing)
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    found = []
    for _ in range(30):
        losses = tensors.run(hearing, [level])
        found.append({key: value.item() for key, value in losses.items()})
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    assert all(found[-1][key] < 0.7 * found[0][key] for key in ("said", "text"))
