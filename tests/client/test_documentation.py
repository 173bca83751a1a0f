"""The documents' Python examples, run one after the other as a reader would, on the real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile
from PIL import Image
from stream_omni_client import Audio

ROOT = Path(__file__).parents[2]
MEDIA = ROOT / "build" / "demo" / "media"


@pytest.mark.parametrize(("document", "count", "written"), [("docs/client.md", 7, 2), ("README.md", 1, 1)])
def test_the_examples_run(
    document: str, count: int, written: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "question.wav").write_bytes((MEDIA / "question.wav").read_bytes())
    Image.open(MEDIA / "picture.png").convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == count
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example.replace("localhost:8001", url), document, "exec"), names)
    answers = [path for path in tmp_path.glob("*.wav") if path.name != "question.wav"]
    assert len(answers) == written
    for answer in answers:
        samples, rate = soundfile.read(answer, dtype="int16")
        assert Audio(samples, rate).duration_s > 0
