"""The tiny random checkpoint answers: words, varied units and an audible voice, that depend on what was asked."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
from stream_omni_build.cosyvoice_tensors import flow_tensors, vocoder_tensors
from stream_omni_build.language_tensors import language_tensors
from stream_omni_build.random_checkpoint import DEFAULT_SEED, write_random_checkpoint
from stream_omni_build.random_sizes import MID, REAL, TINY, RandomSize
from stream_omni_build.random_tensors import RandomTensor
from stream_omni_build.random_tokenizer import TokenRoles

from stream_omni.checkpoint import read_model_info
from stream_omni.cosyvoice_checkpoint import read_cosyvoice
from stream_omni.image import decode_image
from stream_omni.image_merge import merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.llm_prompt import llm_prompt
from stream_omni.networks.needs import needed_tensors
from stream_omni.noise import TurnNoise
from stream_omni.prompt import Question, build_prompt, speech_prefill_ids
from stream_omni.runtime.torch_runtime import TorchRuntime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import read_prompt
from stream_omni.speech_tokenizer import tokenize_speech
from stream_omni.text_engine import TextEngine, TextRequest
from stream_omni.token2wav import synthesize
from stream_omni.tokenizer import Tokenizer, speakable_mask
from stream_omni.transcript import collapse

MEDIA = Path(__file__).parents[2] / "build" / "demo" / "media"


class Model:
    """A checkpoint and the stages of a turn."""

    def __init__(self, checkpoint: Path, cosyvoice: Path) -> None:
        self.cosyvoice = cosyvoice
        self.runtime = TorchRuntime(checkpoint, cosyvoice)
        self.info = self.runtime.info
        self.tokenizer = Tokenizer(checkpoint)
        self.speakable = speakable_mask(self.tokenizer, self.info.vocabulary.text_size)

    @cached_property
    def question_units(self) -> tuple[int, ...]:
        samples, rate_hz = soundfile.read(MEDIA / "question.wav", dtype="float32")
        graph = onnxruntime.InferenceSession(self.cosyvoice / "speech_tokenizer_v1.onnx")

        class Session:
            def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                return {"units": graph.run(None, inputs)[0]}

        return tuple(tokenize_speech(Session(), samples, rate_hz).tolist())

    @cached_property
    def picture(self) -> np.ndarray:
        image = decode_image((MEDIA / "picture.png").read_bytes())
        tiles = tile_image(image, self.info.image, self.info.vision)
        projected = self.runtime.session("vision_encoder").run({"pixels": tiles.pixels})["projected"]
        return merge_features(tiles, projected, np.zeros(self.info.llama.hidden, np.float32), self.info.image)

    def read(self, question: Question) -> tuple[list[int], str]:
        """The text's ids, and the transcript of a spoken question."""
        prompt = build_prompt(self.tokenizer, self.info, question)
        soft, transcript = None, ""
        if prompt.audio_span:
            heard = read_prompt(self.runtime.session("speech_bottom"), self.info, prompt.spoken_ids)
            begin, end = prompt.audio_span
            labels = collapse(heard.ctc_ids[begin:end].tolist(), self.info.vocabulary.blank)
            soft, transcript = heard.soft_embeds, self.tokenizer.decode(labels)
        pictures = [self.picture] * question.pictures
        ids, embeds = llm_prompt(prompt, pictures, self.info.llama.hidden, soft)
        engine = TextEngine(self.runtime.session("llm"), self.info, slots=1)
        engine.start(1, TextRequest(ids, embeds, 128, self.info.vocabulary.eos))
        return run(engine), transcript

    def speak(self, question: Question, text: list[int]) -> list[int]:
        """Raw ids of the speech loop."""
        spoken = question.units is not None
        prompt = build_prompt(self.tokenizer, self.info, question).spoken_ids
        ids = prompt if spoken else speech_prefill_ids(self.tokenizer, self.info)
        heard = read_prompt(self.runtime.session("speech_bottom"), self.info, ids)
        sessions = (self.runtime.session(name) for name in ("speech_bottom_step", "speech_top"))
        engine = SpeechEngine(*sessions, self.info, self.speakable, slots=1)
        engine.start(1, SpeechRequest(heard.hidden, heard.keys_values, not spoken, max_units=400))
        engine.append(1, text, final=True)
        return run(engine)


def run(engine: TextEngine | SpeechEngine) -> list[int]:
    ids: list[int] = []
    while engine.has_work:
        ids += [i for event in engine.step() for i in event.ids]
    return ids


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(*write_random_checkpoint(TINY, tmp_path_factory.mktemp("random"), DEFAULT_SEED))


def test_text_is_of_words_ends_and_depends_on_the_question(model: Model) -> None:
    units = model.question_units
    questions = [
        Question(text="Hi"),
        Question(text="Hi", pictures=1),
        Question(text="左边的圆是什么颜色？"),
        Question(units=units),
        Question(units=units, pictures=1),
    ]
    answers = [model.read(question) for question in questions]
    assert len({tuple(ids) for ids, _ in answers}) == len(questions)
    assert sum(ids[-1] in model.info.vocabulary.eos for ids, _ in answers) >= 3
    for ids, _ in answers:
        text = model.tokenizer.decode(ids)
        assert text.isprintable()
        assert "\ufffd" not in text
        assert len(set(ids)) > len(ids) // 4
    for _, transcript in answers[3:]:
        assert len(transcript.split()) > 5


@pytest.mark.parametrize("spoken", [False, True], ids=["t2s", "s2s"])
def test_speech_follows_the_text_and_can_be_heard(model: Model, spoken: bool) -> None:
    vocabulary = model.info.vocabulary
    question = Question(units=model.question_units, pictures=1) if spoken else Question(text="Hi")
    text, _ = model.read(question)
    ids = model.speak(question, text)
    units = [i - vocabulary.unit_offset for i in ids if i >= vocabulary.unit_offset]
    assert len(units) > 30
    assert len(units) >= 0.9 * len(ids)
    assert len(set(units)) > 20
    *_, voices = read_cosyvoice(model.cosyvoice)
    waveforms = [synthesize(model.runtime, model.info, units, voice, TurnNoise(1)) for voice in voices.values()]
    for waveform in waveforms:
        assert np.isfinite(waveform).all()
        assert 0.02 < waveform.std() < 0.3
        assert (np.abs(waveform) > 0.98).mean() < 0.01
    assert not np.array_equal(*waveforms)


def test_sizes_and_special_ids_are_read_back(model: Model) -> None:
    info = read_model_info(model.cosyvoice.parent / "stream-omni-tiny", model.cosyvoice)
    assert (info.llama, info.vision) == (TINY.llama, TINY.vision)
    vocabulary = info.vocabulary
    assert (vocabulary.size, vocabulary.text_size, vocabulary.units) == (1536, 1024, 512)
    special = {"<|begin_of_text|>": vocabulary.bos, "<|eot_id|>": vocabulary.eot}
    special["<|reserved_special_token_0|>"] = vocabulary.blank
    assert {name: model.tokenizer.id_of(name) for name in special} == special


@pytest.mark.parametrize("size", [MID, REAL], ids=lambda size: size.name)
def test_larger_sizes_hold_what_the_networks_need(model: Model, size: RandomSize) -> None:
    """By names and shapes: nothing of these sizes is written."""
    info, sizes = model.info, size.cosyvoice
    assert info.flow
    assert info.vocoder
    vocabulary = dataclasses.replace(
        info.vocabulary, size=size.vocabulary, text_size=size.text_vocabulary, units=size.units
    )
    flow = dataclasses.replace(
        info.flow,
        units=size.units,
        unit_embedding_size=sizes.encoder_width,
        encoder_width=sizes.encoder_width,
        encoder_heads=sizes.encoder_heads,
        encoder_intermediate=sizes.encoder_intermediate,
        encoder_layers=sizes.encoder_layers,
        estimator_channels=(sizes.estimator_width,) * 2,
        estimator_heads=sizes.estimator_heads,
        estimator_head_size=sizes.estimator_head_size,
        estimator_blocks=sizes.estimator_blocks,
        estimator_mid_blocks=sizes.estimator_mid_blocks,
    )
    vocoder = dataclasses.replace(info.vocoder, base_channels=sizes.vocoder_channels, f0_channels=sizes.f0_channels)
    larger = dataclasses.replace(
        info, llama=size.llama, vision=size.vision, vocabulary=vocabulary, flow=flow, vocoder=vocoder
    )
    roles = TokenRoles(words=(), marks=(), units=range(1), bos=0, blank=1, eot=2, eos=(2,))

    def shapes(table: list[RandomTensor]) -> dict[str, tuple[int, ...]]:
        return {tensor.name: tensor.shape for tensor in table}

    held = {
        "model": shapes(language_tensors(size, roles)),
        "flow": shapes(flow_tensors(sizes, size.units)),
        "hift": shapes(vocoder_tensors(sizes)),
    }
    for source, needed in needed_tensors(larger).items():
        surplus = held[source].keys() - needed.keys()
        assert needed.items() <= held[source].items()
        assert all("post_layernorm" in name for name in surplus), surplus
