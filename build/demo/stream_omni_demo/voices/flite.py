"""Flite: the small Festival, with voices built from the CMU ARCTIC speakers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from stream_omni_demo.voices.sound import Sound, read_wav
from stream_omni_demo.voices.synthesizer import Manner, missing_program, need_program, run_program

PROGRAM = PACKAGE = "flite"


class Flite:
    def missing(self) -> str:
        return missing_program(PROGRAM, PACKAGE)

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        command = [need_program(PROGRAM, PACKAGE), "-voice", manner.voice]
        command += ["--setf", f"duration_stretch={1 / manner.speed:.3f}", "--setf", f"f0_shift={manner.pitch:.3f}"]
        sounds = []
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / "said.wav"  # its standard output would be a file too, without a known name
            for text in texts:
                run_program([*command, "-t", text, "-o", str(wav)])
                sounds.append(read_wav(wav.read_bytes()))
        return sounds
