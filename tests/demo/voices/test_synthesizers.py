from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stream_omni_demo.voices import festival
from stream_omni_demo.voices.cast import CAST, OUTPUT, SYNTHESIZERS, SynthesizerName
from stream_omni_demo.voices.letters import Letters
from stream_omni_demo.voices.synthesizer import Manner, MissingError, run_program

TEXTS = ["Hello.", "What colour is the circle on the left?"]
FIRST_VOICES = {voice.synthesizer: voice for voice in reversed((OUTPUT, *CAST))}


@pytest.mark.parametrize("name", [name for name in FIRST_VOICES if name != "kokoro"])  # which takes seconds
def test_a_longer_text_takes_longer_and_speed_shortens_it(name: SynthesizerName) -> None:
    synthesizer, voice = SYNTHESIZERS[name], FIRST_VOICES[name].inner
    if missing := synthesizer.missing():
        pytest.skip(f"{name} is not installed: {missing}")
    short, long = synthesizer.speak(TEXTS, Manner(voice))
    assert 0.3 < short.seconds < 2 < long.seconds < 5
    for sound in (short, long):
        assert 0.01 < np.sqrt(np.mean(sound.samples**2)) < 0.5
        assert np.abs(sound.samples).max() <= 1.0
    (quick,) = synthesizer.speak(TEXTS[1:], Manner(voice, speed=1.25))
    assert quick.seconds < 0.92 * long.seconds


def test_kokoro_speaks_at_a_voices_own_pitch_only() -> None:
    kokoro = SYNTHESIZERS["kokoro"]
    with pytest.raises(ValueError, match=r"not at 1\.1"):
        kokoro.speak(TEXTS, Manner("af_heart", pitch=1.1))
    if missing := kokoro.missing():
        pytest.skip(f"Kokoro is not installed: {missing}")
    (hello,) = kokoro.speak(["Hello."], Manner("af_heart"))
    assert 0.3 < hello.seconds < 2
    assert 0.01 < np.sqrt(np.mean(hello.samples**2)) < 0.5


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    packages = {"espeak": "espeak-ng", "flite": "flite", "festival": festival.PACKAGES}
    for name, package in packages.items():
        synthesizer = SYNTHESIZERS[name]  # type: ignore[index]
        assert synthesizer.missing() == f"apt-get install {package}"
        with pytest.raises(MissingError, match=f"apt-get install {package}"):
            synthesizer.speak(TEXTS, Manner("any"))


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    program = tmp_path / "mute"
    program.write_text("#!/bin/sh\necho no voice >&2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match="mute ended with 3: no voice"):
        run_program([str(program)])


def test_letters_follow_speed_and_pitch() -> None:
    low, high = (Letters().speak(["ab c"], Manner("", pitch=pitch))[0] for pitch in (0.8, 1.2))
    assert low.samples.size == high.samples.size == 4 * 960
    assert not np.array_equal(low.samples, high.samples)
    assert not low.samples[2 * 960 : 3 * 960].any()  # the space
    (quick,) = Letters().speak(["ab c"], Manner("", speed=2.0))
    assert quick.samples.size == 4 * 480


def test_voices_have_names_of_their_own() -> None:
    names = [voice.name for voice in (OUTPUT, *CAST)]
    assert len(set(names)) == len(names)
    assert any(voice.kept_out for voice in CAST)
    assert OUTPUT.pitches == OUTPUT.speeds == (1.0,)
    kokoro = [voice for voice in CAST if voice.synthesizer == "kokoro"]
    assert all(voice.pitches == (1.0,) for voice in kokoro)  # it has no control for it
