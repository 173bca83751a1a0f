"""eSpeak NG: formant voices of many kinds. The program is under the GPL, which asks nothing of the speech it makes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stream_omni_demo.voices.sound import Sound, read_wav
from stream_omni_demo.voices.synthesizer import Manner, missing_program, need_program, run_program

PROGRAM = PACKAGE = "espeak-ng"
_WORDS_PER_MINUTE = 160  # at speed 1
_PITCH = 50  # at pitch 1, of 0 to 99
_PITCH_PER_OCTAVE = 75.0


class Espeak:
    def missing(self) -> str:
        return missing_program(PROGRAM, PACKAGE)

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        pitch = round(_PITCH + _PITCH_PER_OCTAVE * math.log2(manner.pitch))
        command = [need_program(PROGRAM, PACKAGE), "-v", manner.voice, "--stdout"]
        command += ["-s", str(round(_WORDS_PER_MINUTE * manner.speed)), "-p", str(min(99, max(0, pitch)))]
        return [read_wav(run_program([*command, "--", text])) for text in texts]
