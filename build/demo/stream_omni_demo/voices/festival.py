"""Festival with the HTS voice slt: the voice that the checkpoint answers in."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stream_omni_demo.voices.sound import Sound, read_wav
from stream_omni_demo.voices.synthesizer import Manner, MissingError, run_program

PROGRAM = "festival"
PACKAGES = "festival festvox-us-slt-hts"
OUTPUT_VOICE = "cmu_us_slt_arctic_hts"
_VOICE_FOLDER = Path("/usr/share/festival/voices/us") / OUTPUT_VOICE


class Festival:
    def missing(self) -> str:
        installed = shutil.which(PROGRAM) and _VOICE_FOLDER.is_dir()
        return "" if installed else f"apt-get install {PACKAGES}"

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        """One process for all texts: starting it takes longer than a sentence."""
        if self.missing():
            raise MissingError(f"Festival or its voice slt is not installed: {self.missing()}")
        with tempfile.TemporaryDirectory() as folder:
            wavs = [Path(folder) / f"{number}.wav" for number in range(len(texts))]
            script = Path(folder) / "speak.scm"
            script.write_text(_script(texts, wavs, manner), encoding="utf-8")
            run_program([PROGRAM, "--batch", str(script)])
            return [read_wav(wav.read_bytes()) for wav in wavs]


def _script(texts: Sequence[str], wavs: Sequence[Path], manner: Manner) -> str:
    """In Festival's Scheme. The engine takes the speed as a factor and the pitch in half tones."""
    half_tones = 12 * math.log2(manner.pitch)
    lines = [
        f"(voice_{manner.voice})",
        f'(set! hts_engine_params (append hts_engine_params (list (list "-r" {manner.speed:.3f}) '
        f'(list "-fm" {half_tones:.3f}))))',
    ]
    for text, wav in zip(texts, wavs, strict=True):
        quoted = text.replace("\\", " ").replace('"', " ")
        lines.append(f'(utt.save.wave (utt.synth (Utterance Text "{quoted}")) "{wav}" \'riff)')
    return "\n".join(lines) + "\n"
