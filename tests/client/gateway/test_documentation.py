"""docs/gateway.md: its examples run as a reader would run them, and its tables are what the code says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import soundfile
from PIL import Image
from stream_omni_client.gateway import chat_request, transcriptions
from stream_omni_client.gateway.settings import GatewayLimits, Settings

from tests.client.gateway.gateway_process import GatewayProcess

ROOT = Path(__file__).parents[3]
MEDIA = ROOT / "build" / "demo" / "media"
PAGE = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the files that the examples name."""
    (tmp_path / "question.wav").write_bytes((MEDIA / "question.wav").read_bytes())
    Image.open(MEDIA / "picture.png").convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def examples(language: str, gateway: GatewayProcess) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [example.replace("http://localhost:8080", gateway.url) for example in found]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the examples are short
def test_the_python_examples_run(gateway: GatewayProcess, folder: Path) -> None:
    names: dict[str, object] = {}
    found = examples("python", gateway)
    assert len(found) == 9
    for example in found:
        exec(compile(example, "docs/gateway.md", "exec"), names)
    for name in ("answer.wav", "morning.wav"):
        assert len(soundfile.read(folder / name)[0]) == 8820
    assert (folder / "answer.pcm").stat().st_size == 2 * 9600


def test_the_examples_for_curl_run(gateway: GatewayProcess, folder: Path) -> None:
    said = ""
    found = examples("sh", gateway)
    assert len(found) == 4
    for example in found:
        command = ["bash", "-ec", example.replace("curl -sS", "curl -sS --fail-with-body")]
        said += subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert all(words in said for words in ("Grüße, 世界", "what is this", '"object":"list"', '"status":"ok"'))
    assert "stream_omni_gateway_requests_total" in said
    assert len(soundfile.read(folder / "morning.mp3")[0]) > 8000


def test_the_tables_name_every_parameter() -> None:
    chat, _, rest = PAGE.partition("## Speech")
    for name in chat_request._USED | chat_request.IGNORED | chat_request.REFUSED.keys():
        assert f"`{name}" in chat, name
    for name in {*transcriptions._KNOWN, *transcriptions._REFUSED}:
        assert f"`{name}" in rest, name


def test_limits_and_times_are_the_codes() -> None:
    limits, settings = GatewayLimits(), Settings()
    for told in (
        f"bodies of {limits.max_body_bytes // 1_000_000} MB",
        f"{limits.max_requests} requests at once",
        f"a body within {limits.body_timeout_s:g} s",
        f"`--turn-timeout` {settings.turn_timeout_s:g} s",
        f"`--drain-timeout` {settings.drain_timeout_s:g} s",
        f"at most every {settings.ready_for_s:g} s",
        f"{limits.max_redirects} redirects",
    ):
        assert told in PAGE, told
