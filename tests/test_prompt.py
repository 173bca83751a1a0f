from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_omni.model_info import ImageLayout, LlamaSizes, ModelInfo, Rope, VisionSizes, Vocabulary
from stream_omni.prompt import IMAGE_ID, Message, Question, build_prompt, speech_prefill_ids
from stream_omni.request_error import RequestError
from stream_omni.tokenizer import Tokenizer
from tests.small_tokenizer import BOS, UNITS, write_small_tokenizer

SYSTEM = "You are a helpful assistant."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer")
    write_small_tokenizer(path)
    return Tokenizer(path)


@pytest.fixture(scope="module")
def info(tokenizer: Tokenizer) -> ModelInfo:
    size = tokenizer.size
    return ModelInfo(
        name="small",
        llama=LlamaSizes(8, 16, 2, 1, 4, 1, 1, 1, 1e-5, Rope(10_000.0)),
        vocabulary=Vocabulary(size, size, UNITS, bos=0, eot=1, blank=2, eos=(1,)),
        vision=VisionSizes(8, 16, 1, 1, 28, 7, 1e-6),
        image=ImageLayout("pad", "flat", ()),
        context_tokens=1000,
        system_prompt=SYSTEM,
    )


def _reference_ids(tokenizer: Tokenizer, content: str, system: str = SYSTEM, history: str = "") -> list[int]:
    """As the reference does it: the rendered text cut at "<image>", each piece encoded whole, one more BOS in front."""

    def turn(role: str, text: str) -> str:
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"

    text = f"{BOS}{turn('system', system)}{history}{turn('user', content)}"
    text += "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ids = list(tokenizer.leading_ids)
    for n, piece in enumerate(text.split("<image>")):
        ids += [IMAGE_ID] * (n > 0) + tokenizer.encode(piece)
    return ids


@pytest.mark.parametrize("text", ["What is the colour of the cat?", "  猫是什么颜色的？\n", "({[*]}) \n- x"])
@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_text_question(tokenizer: Tokenizer, info: ModelInfo, text: str, pictures: int) -> None:
    prompt = build_prompt(tokenizer, info, Question(text=text, pictures=pictures))
    content = ("<image>\n" * pictures + text).strip()
    assert prompt.ids.tolist() == _reference_ids(tokenizer, content)
    assert prompt.ids.dtype == np.int64
    assert prompt.ids[:2].tolist() == [tokenizer.id_of(BOS)] * 2
    assert np.flatnonzero(prompt.ids == IMAGE_ID).tolist() == list(prompt.image_at)
    assert prompt.audio_span is None
    assert tokenizer.decode(prompt.ids[: prompt.shared_tokens], skip_special=False).endswith("\n\n")


def test_the_shared_beginning_ends_with_the_system_prompt(tokenizer: Tokenizer, info: ModelInfo) -> None:
    told = (Message("user", "What?"), Message("assistant", "The cat."))
    questions = [
        Question(text="What is it?"),
        Question(text="天空", history=told),
        Question(units=(1, 2)),
        Question(units=(3,), pictures=2, history=told),
        Question(text="The", pictures=1),
    ]
    prompts = [build_prompt(tokenizer, info, question) for question in questions]
    beginning = _reference_ids(tokenizer, "")[: prompts[0].shared_tokens]
    assert SYSTEM in tokenizer.decode(beginning) and len(beginning) > 10
    assert all(prompt.ids[: prompt.shared_tokens].tolist() == beginning for prompt in prompts)
    other = build_prompt(tokenizer, info, Question(text="What is it?", system="You are a cat."))
    assert other.ids[: other.shared_tokens].tolist() != beginning


@settings(deadline=None)  # the first example loads much
@given(units=st.lists(st.integers(0, UNITS - 1), max_size=20), pictures=st.integers(0, 3))
def test_spoken_question(tokenizer: Tokenizer, info: ModelInfo, units: list[int], pictures: int) -> None:
    prompt = build_prompt(tokenizer, info, Question(units=tuple(units), pictures=pictures))
    content = "<image>\n" * pictures + "".join(f"<Audio_{unit}>" for unit in units)
    if units:
        assert prompt.ids.tolist() == _reference_ids(tokenizer, content)
    assert prompt.audio_span is not None
    spoken = prompt.spoken_ids[slice(*prompt.audio_span)]
    assert spoken.tolist() == [tokenizer.id_of(f"<Audio_{unit}>") for unit in units]
    assert IMAGE_ID not in prompt.spoken_ids
    assert len(prompt.image_at) == pictures


def test_history_and_system(tokenizer: Tokenizer, info: ModelInfo) -> None:
    history = (Message("user", "为什么？"), Message("assistant", " Because. "))
    question = Question(text="And?", pictures=1, history=history, system="你好")
    told = (
        "<|start_header_id|>user<|end_header_id|>\n\n为什么？<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nBecause.<|eot_id|>"
    )
    expected = _reference_ids(tokenizer, "<image>\nAnd?", "你好", told)
    assert build_prompt(tokenizer, info, question).ids.tolist() == expected


def test_words_that_look_like_a_place_holder_stay_words(tokenizer: Tokenizer, info: ModelInfo) -> None:
    question = Question(units=(1, 2), pictures=1, history=(Message("user", "<part-0> <image>"),))
    prompt = build_prompt(tokenizer, info, question)
    assert len(prompt.image_at) == 1
    assert "<part-0> <image>" in tokenizer.decode(prompt.ids[: prompt.image_at[0]].tolist())


def test_recorded_prompt_of_the_speech_stacks(tokenizer: Tokenizer, info: ModelInfo) -> None:
    assert speech_prefill_ids(tokenizer, info).tolist() == _reference_ids(tokenizer, "")


def test_a_tokenizer_without_bos_adds_none(tmp_path: Path, info: ModelInfo) -> None:
    write_small_tokenizer(tmp_path, with_bos=False)
    bare = Tokenizer(tmp_path)
    ids = build_prompt(bare, info, Question(text="x", pictures=1)).ids.tolist()
    assert ids[:2] == [bare.id_of(BOS), bare.id_of("<|start_header_id|>")]
    assert ids.count(bare.id_of(BOS)) == 1


@pytest.mark.parametrize("question", [Question(), Question(text="x", units=(1,))])
def test_neither_or_both(tokenizer: Tokenizer, info: ModelInfo, question: Question) -> None:
    with pytest.raises(RequestError, match="either text or speech units"):
        build_prompt(tokenizer, info, question)


def test_units_outside_the_vocabulary(tokenizer: Tokenizer, info: ModelInfo) -> None:
    with pytest.raises(RequestError, match=r"outside 0\.\.15"):
        build_prompt(tokenizer, info, Question(units=(16,)))


@pytest.mark.parametrize("template", ["nothing", "{{ messages[-1].content }} {{ messages[-1].content }}"])
def test_a_template_that_loses_or_doubles_the_question(tmp_path: Path, info: ModelInfo, template: str) -> None:
    write_small_tokenizer(tmp_path, template=template)
    with pytest.raises(RequestError, match="exactly once"):
        build_prompt(Tokenizer(tmp_path), info, Question(units=(1,)))
