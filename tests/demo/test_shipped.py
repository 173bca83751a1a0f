"""The shipped demo checkpoint: whole, small, the same as a build makes it, and right about its picture."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
from openai import OpenAI
from stream_omni_build.build import Sources, build
from stream_omni_build.progress import silent
from stream_omni_build.repository import find_profile
from stream_omni_client import StreamOmni
from stream_omni_demo.checkpoint.folders import Folders
from stream_omni_demo.checkpoint.shipping import LARGEST_MB
from stream_omni_demo.media import MEDIA
from stream_omni_demo.stages import STAGES
from stream_omni_demo.world.shipped import QUESTION, shipped_exchange
from stream_omni_eval.judge import Judge
from stream_omni_eval.manifest import read_manifest
from stream_omni_eval.words import word_error_rate, words_of

from stream_omni.serving.launcher import TritonServer
from tests.client.gateway.gateway_process import gateway_process

DEMO = Path(__file__).parents[2] / "build" / "demo"
SHIPPED = DEMO / "checkpoint"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make demo` builds it."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "stream_omni_build.demo", "--served", str(out), "--only-build"]
    subprocess.run(command, check=True)
    return out / "demo"


def test_it_fits_into_a_repository_and_tells_how_it_was_made() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_MB * 1e6
    record = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    assert record["plan"]["name"] == "full"
    assert set(record["stages"]) == {stage.name for stage in STAGES}
    card = (SHIPPED / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name, stage in record["stages"].items():
        assert stage["passed"] or stage["missed"] in card, f"{name} has missed its gate, and the card is silent"


def test_building_it_gives_the_shipped_graphs_and_weights(filled: Path, tmp_path: Path) -> None:
    """Else the networks have changed: run `python -m stream_omni_demo.checkpoint` again."""
    folders = Folders.within(SHIPPED)
    build(Sources(folders.language, folders.cosyvoice), find_profile("cpu"), tmp_path / "made", silent())
    assert digests(tmp_path / "made") == digests(filled)


@pytest.fixture(scope="module")
def grpc_url(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as output, TritonServer(filled, log=output) as server:
        yield server.grpc_url


def test_it_hears_the_question_and_answers_it_rightly(grpc_url: str) -> None:
    with StreamOmni(grpc_url) as client:
        spoken = client.chat(audio=MEDIA / "question.wav", image=MEDIA / "picture.png", output="speech")
        typed = client.chat(QUESTION, image=MEDIA / "picture.png")
    right = shipped_exchange()
    assert words_of(spoken.transcript) == words_of(QUESTION)
    assert right.is_right(spoken.text) and right.is_right(typed.text)
    assert spoken.finish_reason == "stop"
    assert spoken.audio is not None and 0.5 < spoken.audio.duration_s < 4


@pytest.mark.skipif(find_spec("faster_whisper") is None, reason="an independent ear: pip install 'stream-omni[eval]'")
def test_what_the_gateway_speaks_is_understood(grpc_url: str, tmp_path: Path) -> None:
    sentences = (
        "The circle is red.",
        "There are two green trees.",
        "I see a cat and a house.",
        "The blue square is on the left.",
        "Yes, there is a white star.",
        "The fish is in the bottom right corner.",
        "I can see pictures and talk.",
        "The day after Monday is Tuesday.",
        "The answer is seven.",
        "Good morning.",
    )
    judge, heard = Judge(), []
    with gateway_process(grpc_url) as gateway, OpenAI(base_url=f"{gateway.url}/v1", api_key="none") as openai:
        for sentence in sentences:
            openai.audio.speech.create(
                model="stream-omni", voice="default", input=sentence, response_format="wav"
            ).write_to_file(tmp_path / "speech.wav")
            heard.append(judge.transcribe(*soundfile.read(tmp_path / "speech.wav", dtype="float32")))
    assert word_error_rate(sentences, heard) <= 0.2, heard  # of 240 answers it is 0.10, which few words only estimate


def test_the_held_out_questions_can_be_asked() -> None:
    assert len(read_manifest(DEMO / "held_out" / "questions.jsonl")) == 8
