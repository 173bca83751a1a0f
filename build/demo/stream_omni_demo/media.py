"""Make picture.png and question.wav, the demo's question about a picture (PROVENANCE.md has origin and terms).

    python build/demo_media/make_media.py [--out DIR]

The question needs Festival and its voice: apt-get install festival festvox-us-slt-hts
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stream_omni.audio import resample

QUESTION = "What colour is the circle on the left?"
VOICE = "cmu_us_slt_arctic_hts"
RATE_HZ = 16000
PEAK = 0.7
QUIET = 0.01  # of the peak: what lies under it at either end is silence
MARGIN_S = 0.1  # silence that is kept at either end
WIDTH_PX, HEIGHT_PX, SMOOTHING = 640, 480, 4  # drawn four times as large, then reduced: smooth edges


def draw_picture() -> Image.Image:
    """A red circle on the left and a blue square on the right, on a table before a light wall."""
    width, height = WIDTH_PX * SMOOTHING, HEIGHT_PX * SMOOTHING
    picture = Image.new("RGB", (width, height), (236, 233, 226))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, height * 11 // 20, width, height), fill=(205, 186, 158))
    side = height * 4 // 10
    top = height // 4
    circle, square = width // 8, width * 5 // 8 - width // 40
    for left, shape in ((circle, pen.ellipse), (square, pen.rectangle)):
        floor = top + side
        pen.ellipse((left, floor - side // 14, left + side, floor + side // 10), fill=(176, 157, 130))  # shadow
        colour = (208, 36, 40) if left == circle else (38, 84, 196)
        shape((left, top, left + side, floor), fill=colour)
    return picture.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.LANCZOS)


def speak_question() -> NDArray[np.float32]:
    """[samples] at 16 kHz, trimmed, the largest one at `PEAK`."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "question.wav"
        command = ["text2wave", "-eval", f"(voice_{VOICE})", "-o", str(wav)]
        subprocess.run(command, input=QUESTION.encode(), check=True)  # noqa: S603
        samples, rate_hz = soundfile.read(wav, dtype="float32")
    samples = resample(samples, rate_hz, RATE_HZ)
    loud = np.flatnonzero(np.abs(samples) > QUIET * np.abs(samples).max())
    margin = int(MARGIN_S * RATE_HZ)
    samples = samples[max(0, loud[0] - margin) : loud[-1] + margin]
    return np.asarray(samples * (PEAK / np.abs(samples).max()), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    draw_picture().save(out / "picture.png", optimize=True)
    soundfile.write(out / "question.wav", speak_question(), RATE_HZ, subtype="PCM_16")


if __name__ == "__main__":
    main()
