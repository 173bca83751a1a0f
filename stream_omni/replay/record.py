"""Recording: a case's inputs, from words, a sound, a picture or another case, and all that follows from them."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stream_omni.image import decode_image
from stream_omni.prompt import Question, build_prompt, speech_prefill_ids
from stream_omni.replay.cases import Case
from stream_omni.replay.compare import INPUT_ARRAYS, INPUT_FIELDS
from stream_omni.replay.run import Installation, observe
from stream_omni.runtime.session import Session
from stream_omni.speech_tokenizer import tokenize_speech
from stream_omni.tokenizer import Tokenizer

_NOISE_SEED = 0


@dataclass(frozen=True)
class Recording:
    """What to ask: exactly one of ``text`` and ``sound`` (a sound file), perhaps about a ``picture``."""

    name: str
    text: str | None = None
    sound: Path | None = None
    picture: Path | None = None
    speech_out: bool = False
    max_new_tokens: int = 256


def record_again(case: Case, installation: Installation, directory: Path) -> Case:
    """The same inputs, with what this installation makes of them. The case is not saved."""
    fields = {name: value for name, value in case.fields.items() if name in INPUT_FIELDS - {"reference_seconds"}}
    arrays = {name: array for name, array in case.arrays.items() if name in INPUT_ARRAYS}
    again = Case(case.name, directory, fields, arrays)
    for path, folder in ((case.fields.get("image"), "images"), (case.fields.get("wav"), "cases")):
        if path is not None:
            _copy(case.directory / folder / path, directory / folder / path)
    return _complete(again, installation)


def record_question(
    recording: Recording,
    installation: Installation,
    tokenizer: Tokenizer,
    image_config: dict[str, Any],
    speech_tokenizer: Session | None,
    directory: Path,
) -> list[Case]:
    """The turn; with a sound also its log-mel; with speech out and voices also the waveform of its units.

    ``image_config``: the checkpoint's own three switches. Raises ValueError for a question that is not one, or a sound
    without a speech tokenizer.
    """
    info, cases = installation.model.info, []
    units = None
    if recording.sound is not None:
        cases.append(_sound_case(recording, installation, directory))
        units = _units(recording.sound, speech_tokenizer)
    question = Question(text=recording.text, units=units, pictures=int(recording.picture is not None))
    fields: dict[str, Any] = {
        "mode": f"{'speech' if units else 'text'}_to_{'speech' if recording.speech_out else 'text'}",
        "text_vocab_size": info.vocabulary.text_size,
        "prompt_ids": build_prompt(tokenizer, info, question).ids.tolist(),
        "max_new_tokens": recording.max_new_tokens,
    }
    if recording.speech_out and units is None:
        fields["prefill_ids"] = speech_prefill_ids(tokenizer, info).tolist()
    if recording.picture is not None:
        decode_image(recording.picture.read_bytes())  # refused here, by name, rather than in the middle
        _copy(recording.picture, directory / "images" / recording.picture.name)
        fields |= {"image": recording.picture.name, "image_config": image_config}
    turn = _complete(Case(recording.name, directory, fields), installation)
    cases.append(turn)
    if recording.speech_out and installation.voices is not None and turn.fields["speech_units"]:
        cases.append(_voice_case(turn, installation))
    return cases


def _sound_case(recording: Recording, installation: Installation, directory: Path) -> Case:
    assert recording.sound is not None
    name = f"{recording.name}_logmel"
    _copy(recording.sound, directory / "cases" / f"{name}{recording.sound.suffix}")
    fields = {
        "mode": "logmel",
        "wav": f"{name}{recording.sound.suffix}",
        "sample_rate": soundfile.info(recording.sound).samplerate,
    }
    return _complete(Case(name, directory, fields), installation)


def _voice_case(turn: Case, installation: Installation) -> Case:
    fields = {
        "mode": "vocoder",
        "noise_seed": _NOISE_SEED,
        "speaker": installation.model.info.default_voice,
        "token": turn.fields["speech_units"],
        "prompt_token": [],
    }
    return _complete(Case(f"{turn.name}_voice", turn.directory, fields), installation)


def _units(sound: Path, speech_tokenizer: Session | None) -> tuple[int, ...]:
    if speech_tokenizer is None:
        raise ValueError("a spoken question needs the speech tokenizer: give --cosyvoice")
    samples, rate_hz = soundfile.read(sound, dtype="float32")
    if samples.ndim != 1:
        raise ValueError(f"{sound} has {samples.shape[1]} channels; give a mono file")
    return tuple(tokenize_speech(speech_tokenizer, samples, rate_hz).tolist())


def _complete(case: Case, installation: Installation) -> Case:
    observed = observe(case, installation)
    arrays = {name: value for name, value in observed.items() if isinstance(value, np.ndarray)}
    fields = {name: value for name, value in observed.items() if name not in arrays}
    return dataclasses.replace(case, fields={**case.fields, **fields}, arrays={**case.arrays, **arrays})


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)
