"""Make picture.png and question.wav, the demo's question about a picture (build/demo/media/PROVENANCE.md).

    python -m stream_omni_demo.media [--out DIR]

The question needs Festival and its voice: apt-get install festival festvox-us-slt-hts
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

from stream_omni.audio import Samples, resample
from stream_omni_demo.voices.cast import OUTPUT, SYNTHESIZERS
from stream_omni_demo.voices.synthesizer import Manner
from stream_omni_demo.world.shipped import QUESTION, shipped_picture

MEDIA = Path(__file__).parents[1] / "media"
_RATE_HZ = 16000
_PEAK = 0.7
_QUIET = 0.01  # of the peak: what lies under it at either end is silence
_MARGIN_S = 0.1  # silence that is kept at either end


def speak_question() -> Samples:
    """[samples] at 16 kHz, trimmed, the largest one at `_PEAK`. Raises MissingError without Festival."""
    (spoken,) = SYNTHESIZERS[OUTPUT.synthesizer].speak([QUESTION], Manner(OUTPUT.inner))
    samples = resample(spoken.samples, spoken.rate_hz, _RATE_HZ)
    loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
    margin = int(_MARGIN_S * _RATE_HZ)
    samples = samples[max(0, loud[0] - margin) : loud[-1] + margin]
    return np.asarray(samples * (_PEAK / np.abs(samples).max()), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=MEDIA, metavar="DIR")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    shipped_picture().save(out / "picture.png", optimize=True)
    soundfile.write(out / "question.wav", speak_question(), _RATE_HZ, subtype="PCM_16")


if __name__ == "__main__":
    main()
