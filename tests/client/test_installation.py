"""The client alone, in a clean environment: what its wheel brings, and what works with that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.test_documentation import ROOT, run_examples
from tests.client.test_package import cpu_seconds_of

pytestmark = pytest.mark.faults  # it takes long, and asks the package index

NOT_OURS = {"torch", "onnxruntime", "tokenizers", "nvidia-pytriton", "pillow", "sounddevice", "onnx", "jinja2"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment into which the wheel was installed, without extras."""
    folder = tmp_path_factory.mktemp("clean")
    wheels = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run([sys.executable, *wheels], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel]
    subprocess.run(pip, check=True, timeout=600)
    return python


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_it_brings_little(clean: Path) -> None:
    listed = output_of(clean, "-m", "pip", "list", "--format", "freeze").lower().splitlines()
    installed = {line.partition("==")[0] for line in listed}
    assert {"stream-omni", "numpy", "tritonclient", "grpcio", "soundfile"} <= installed
    assert not installed & NOT_OURS
    assert len(installed) < 25


def test_it_imports_quickly(clean: Path) -> None:
    assert min(cpu_seconds_of("import stream_omni_client", clean) for _ in range(3)) < 0.5


def test_the_documents_examples_run(clean: Path, url: str, tmp_path: Path) -> None:
    """All but the one that plays."""
    assert run_examples(clean, "docs/client.md", url, tmp_path) == "10 examples were run"


def test_the_command_line_works_and_names_what_is_missing(clean: Path, url: str) -> None:
    command = clean.with_name("stream-omni")
    assert output_of(command, "ask", "--text", "hello", "--max-tokens", "2", "--url", url)
    assert output_of(command, "bench", "--turns", "2", "--max-tokens", "2", "--json", "--url", url)
    assert "_stream_omni" in output_of(command, "completion", "bash")
    for missing, extra in (("serve", "server"), ("build", "build"), ("eval", "eval")):
        done = subprocess.run([command, missing, "--help"], capture_output=True, text=True, timeout=60)
        if done.returncode:
            assert f'pip install "stream-omni[{extra}]"' in done.stderr
            assert "Traceback" not in done.stderr
    talk = subprocess.run([command, "talk", "--url", url], capture_output=True, text=True, timeout=60, input="")
    assert (talk.returncode, 'pip install "stream-omni[' in talk.stderr, "Traceback" in talk.stderr) == (2, True, False)
