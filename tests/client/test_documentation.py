"""The documents' Python examples, run one after the other as a reader would, on the real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image
from stream_omni_client import Audio

from tests.client.conftest import has_portaudio

ROOT = Path(__file__).parents[2]
MEDIA = ROOT / "build" / "demo" / "media"


def run_examples(python: Path | str, document: str, url: str, folder: Path) -> str:
    """By that interpreter, in that folder. Returns the last line that they printed."""
    (folder / "question.wav").write_bytes((MEDIA / "question.wav").read_bytes())
    Image.open(MEDIA / "picture.png").convert("RGB").save(folder / "photo.jpg")
    command = [python, Path(__file__).with_name("run_examples.py"), ROOT / document, url]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(("document", "count", "written"), [("docs/client.md", 11, 2), ("README.md", 1, 1)])
def test_the_examples_run(document: str, count: int, written: int, url: str, quiet_tape: Path) -> None:
    audible = has_portaudio() or document == "README.md"
    told = run_examples(sys.executable, document, url, quiet_tape)
    assert told == f"{count if audible else count - 1} examples were run"
    answers = [path for path in quiet_tape.glob("*.wav") if path.name != "question.wav"]
    assert len(answers) == written
    for answer in answers:
        samples, rate = soundfile.read(answer, dtype="int16")
        assert Audio(samples, rate).duration_s > 0
