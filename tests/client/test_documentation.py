"""The examples of docs/client.md, run one after the other as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stream_omni_client import Audio

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"


def test_the_examples_run(protocol_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "question.wav", np.zeros(16000), 16000)
    (tmp_path / "photo.jpg").write_bytes(b"the protocol's server looks at no picture")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(examples) == 6
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example.replace("localhost:8001", protocol_url), str(DOCUMENT), "exec"), names)
    for written in ("answer.wav", "morning.wav"):
        samples, rate = soundfile.read(written, dtype="int16")
        assert Audio(samples, rate).duration_s > 0
