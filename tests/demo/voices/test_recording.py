"""The corpus on the disk: written in shards, gone on with after an interruption, read back by the index."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stream_omni_demo.pipeline import Workshop, read_record, run_stages
from stream_omni_demo.plan import SMOKE
from stream_omni_demo.voices import recording
from stream_omni_demo.voices.cast import SMOKE_OUTPUT, SYNTHESIZERS
from stream_omni_demo.voices.corpus import Corpus
from stream_omni_demo.voices.recording import record, record_part
from stream_omni_demo.voices.script import Part, Take, parts_of
from stream_omni_demo.voices.sound import MARGIN_S, at_rate, level, to_pcm, trim
from stream_omni_demo.voices.stages import STAGES, open_corpus
from stream_omni_demo.voices.synthesizer import Manner, MissingError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return record(parts_of(SMOKE), folder, processes=1, say=lambda line: None)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_what_is_read_is_what_was_said(corpus: Corpus) -> None:
    takes = {(take.text, part.voice.name): (part, take) for part in parts_of(SMOKE) for take in part.takes}
    assert len(corpus) == len(takes)
    for utterance in corpus:
        part, take = takes[utterance.text, utterance.voice]
        (sound,) = SYNTHESIZERS["letters"].speak([take.text], take.manner)
        wanted = to_pcm(level(trim(at_rate(sound, part.voice.rate_hz))).samples)
        np.testing.assert_array_equal(utterance.wav, wanted)
        assert (utterance.rate_hz, utterance.kind, utterance.split) == (part.voice.rate_hz, take.kind, take.split)


def test_utterances_begin_and_end_with_the_margin(corpus: Corpus) -> None:
    for utterance in corpus:
        margin = round(MARGIN_S * utterance.rate_hz)
        wav = np.abs(utterance.wav.astype(int))
        assert wav[: margin // 2].max() < 0.01 * wav.max()
        assert wav[margin : 2 * margin].max() > 0.01 * wav.max()


def test_a_corpus_is_chosen_from(corpus: Corpus) -> None:
    answers = corpus.select(kind="answer", split="train")
    assert len(answers) == SMOKE.answers + SMOKE.answers_of_words
    assert answers.voices == [SMOKE_OUTPUT.name]
    assert len(corpus.select(split="held_out_voice", voice="letters high")) == SMOKE.held_out_voice_questions
    assert answers.seconds == pytest.approx(answers.lengths_s().sum())
    assert answers[0].samples(16_000).size == pytest.approx(answers[0].seconds * 16_000, abs=1)


def test_wavs_are_mapped_and_not_read(corpus: Corpus) -> None:
    assert isinstance(corpus[0].wav.base, np.memmap)


def test_an_interrupted_recording_is_gone_on_with(
    corpus: Corpus, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts = parts_of(SMOKE)
    record_part(parts[1], tmp_path)
    (tmp_path / "torn.partial.npy").write_bytes(b"half")
    recorded: list[str] = []

    def count(part: Part, folder: Path) -> Part:
        recorded.append(part.name)
        return record_part(part, folder)

    monkeypatch.setattr(recording, "record_part", count)
    record(parts, tmp_path, processes=1, say=lambda line: None)
    assert recorded == [part.name for part in parts if part.name != parts[1].name]
    assert {k: v for k, v in _digests(tmp_path).items() if "torn" not in k} == _digests(folder)


def test_only_what_changed_is_made_anew(corpus: Corpus, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(SMOKE)
    said: list[str] = []
    monkeypatch.setattr(recording, "record_part", lambda part, folder: said.append(part.name) or part)
    slower = replace(parts[0].takes[0], manner=Manner("letters", 0.9))
    changed = replace(parts[0], takes=(slower, *parts[0].takes[1:]))
    record([changed, *parts[1:]], folder, processes=1, say=lambda line: None)
    assert said == [changed.name]


def test_several_processes_make_the_same_files(corpus: Corpus, folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    record(parts_of(SMOKE), tmp_path, processes=2, say=lines.append)
    assert _digests(tmp_path) == _digests(folder)
    assert lines[-1].endswith("0.0 minutes left")


def test_a_missing_synthesizer_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SYNTHESIZERS["letters"], "missing", lambda: "apt-get install letters")
    with pytest.raises(MissingError, match="not installed: apt-get install letters"):
        record(parts_of(SMOKE), tmp_path, processes=1, say=lambda line: None)
    assert not list(tmp_path.iterdir())


def test_a_voice_that_says_nothing_is_named(tmp_path: Path) -> None:
    part = Part("mute-000", SMOKE_OUTPUT, (Take("...", "answer", "train", Manner("letters")),))
    with pytest.raises(RuntimeError, match=r"letters said '\.\.\.' .* as 0\.18 s of silence"):
        record_part(part, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_stage_measures_what_it_made(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, SMOKE, say=lambda line: None)
    run_stages(STAGES, ["corpus"], workshop)
    measured = read_record(tmp_path)["corpus"]["measured"]
    assert measured["answers"] == SMOKE.answers + SMOKE.answers_of_words + SMOKE.held_out_answers
    assert measured["voices"] == 3
    assert measured["faulty"] == 0
    index = json.loads((tmp_path / "corpus" / "index.json").read_text(encoding="utf-8"))
    assert len(index["utterances"]) == len(open_corpus(workshop))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"answers_wer": 0.09}, "answers: 9.0% of the words are heard wrong, and at most 8% may be"),
        ({"kept_out_voice_wer": 0.5}, "kept out voice: 50.0% of"),
        ({"faulty": 2.0}, "2 utterances are nearly silent or clipped"),
    ],
)
def test_the_gate_says_what_is_not_good_enough(changed: dict[str, float], fault: str) -> None:
    good = {"answers_wer": 0.03, "questions_wer": 0.06, "kept_out_voice_wer": 0.02, "faulty": 0.0}
    assert STAGES[0].gate(good) == ""
    assert fault in STAGES[0].gate(good | changed)
