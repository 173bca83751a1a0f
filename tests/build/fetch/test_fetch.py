"""``stream-omni fetch`` against a hub on loopback: whole, interrupted, damaged, refused, and without a network."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stream_omni_build.fetch import connection
from stream_omni_build.fetch.command import main
from stream_omni_build.fetch.record import NAME

from stream_omni.checkpoint import read_model_info
from tests.build.fetch.hub import COMMIT, Hub, files_of, serving

LANGUAGE, SPEECH = "ICTNLP/stream-omni-8b", "iic/CosyVoice-300M-25Hz"
SHARD = "model.safetensors"
Fetch = Callable[..., int]


@pytest.fixture
def hub(random_checkpoint: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """With the tiny checkpoints in the places of the real ones, and files that nobody needs."""
    language, speech = (files_of(folder) for folder in random_checkpoint)
    extra = {"README.md": b"terms", "pytorch_model.bin": bytes(100)}
    hub = Hub({LANGUAGE: {**language, **extra}, SPEECH: {**speech, "README.md": b"terms", "llm.pt": bytes(100)}})
    monkeypatch.setattr(connection, "TRIES", 2)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving(hub):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", f"{hub.url}/")
        yield hub


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def language(out: Path) -> Fetch:
    """Fetch the language model alone."""
    return lambda *more: main(["--out", str(out), "--only", "stream-omni", *more])


def test_both_checkpoints_come_whole_and_can_be_built_from(hub: Hub, out: Path) -> None:
    assert main(["--out", str(out)]) == 0
    for folder, name, unwanted in (
        ("stream-omni-8b", LANGUAGE, "pytorch_model.bin"),
        ("CosyVoice-300M-25Hz", SPEECH, "llm.pt"),
    ):
        published = {path: content for path, content in hub.repositories[name].items() if path != unwanted}
        if name == SPEECH:
            published.pop("random_checkpoint.json")
        assert files_of(out / folder) == published
        assert not hub.asked(unwanted)
    assert read_model_info(out / "stream-omni-8b", out / "CosyVoice-300M-25Hz").flow is not None
    record = json.loads((out / NAME).read_text())
    assert record["stream-omni-8b"]["revision"] == COMMIT


def test_a_second_run_verifies_without_the_network(
    hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(out)]) == 0
    hub.requests.clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert main(["--out", str(out)]) == 0
    assert not hub.requests
    assert capsys.readouterr().out.count("verified") == 2


def test_what_is_damaged_later_is_noticed_and_fetched_again(
    hub: Hub, language: Fetch, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert language() == 0
    for path, change in ((SHARD, lambda content: content[:-1] + b"!"), ("config.json", lambda content: content[:50])):
        file = out / "stream-omni-8b" / path
        file.write_bytes(change(file.read_bytes()))
    hub.requests.clear()
    assert language() == 0
    said = capsys.readouterr().out
    assert f"{SHARD}: other content" in said and "config.json: 50 bytes, not" in said
    assert hub.asked(SHARD) and hub.asked("config.json") and not hub.asked("tokenizer.json")
    assert (out / "stream-omni-8b" / SHARD).read_bytes() == hub.repositories[LANGUAGE][SHARD]


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, language: Fetch, out: Path) -> None:
    hub.breaks_after[SHARD] = 100_000
    assert language() == 0
    assert hub.asked(SHARD)[-1] == "bytes=100000-"
    assert (out / "stream-omni-8b" / SHARD).read_bytes() == hub.repositories[LANGUAGE][SHARD]


def test_a_killed_download_goes_on_in_the_next_run(hub: Hub, language: Fetch, out: Path) -> None:
    hub.stalls_after[SHARD] = 3 << 20
    command = [sys.executable, "-m", "stream_omni_build.fetch.command", "--out", str(out), "--only", "stream-omni"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        assert hub.stalled.wait(60)
        (partial,) = wait_for_bytes(out, 2 << 20)
        process.send_signal(signal.SIGKILL)
    have = partial.stat().st_size
    hub.requests.clear()
    assert language() == 0
    assert set(hub.asked(SHARD)) == {f"bytes={have}-"}
    assert files_of(out / "stream-omni-8b")[SHARD] == hub.repositories[LANGUAGE][SHARD]
    assert not list(out.rglob("*.partial"))


def wait_for_bytes(out: Path, enough: int) -> list[Path]:
    deadline_s = time.monotonic() + 30
    while True:
        found = list(out.rglob("*.partial"))
        if found and found[0].stat().st_size >= enough:
            return found
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_host_without_ranges_begins_again(hub: Hub, language: Fetch, out: Path) -> None:
    hub.breaks_after[SHARD], hub.whole_only = 100_000, True
    assert language() == 0
    assert (out / "stream-omni-8b" / SHARD).read_bytes() == hub.repositories[LANGUAGE][SHARD]


def test_parts_of_another_version_are_not_used(hub: Hub, language: Fetch, out: Path) -> None:
    stale = out / "stream-omni-8b" / f"{SHARD}.0123456789ab.partial"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    assert language() == 0
    assert not stale.exists()
    assert (out / "stream-omni-8b" / SHARD).read_bytes() == hub.repositories[LANGUAGE][SHARD]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content[:-1] + b"!", "came with another content than"),
        (lambda content: content + b"more", "is longer at"),
        (lambda content: content[:-7], "cannot be reached (it ended model.safetensors after"),
    ],
    ids=["other", "longer", "shorter"],
)
def test_a_file_that_is_not_what_the_list_says_is_refused(
    hub: Hub,
    language: Fetch,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[bytes], bytes],
    sentence: str,
) -> None:
    hub.sends[SHARD] = change(hub.repositories[LANGUAGE][SHARD])
    assert language() == 1
    assert sentence in capsys.readouterr().err
    assert not (out / "stream-omni-8b" / SHARD).exists() and not (out / NAME).exists()
    hub.sends.clear()
    assert language() == 0


def test_a_repository_that_lacks_a_file(hub: Hub, language: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.repositories[LANGUAGE]["tokenizer.json"]
    assert language() == 1
    assert "lacks tokenizer.json: a Stream-Omni directory holds" in capsys.readouterr().err
    assert not hub.asked(SHARD)  # nothing large has been downloaded


def test_tensors_that_do_not_fit_their_file(hub: Hub, language: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    hub.repositories[LANGUAGE][SHARD] = hub.repositories[LANGUAGE][SHARD][:-1000]
    assert language() == 1
    assert "is no complete safetensors file: its tensors are cut off" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "sentence"), [(404, "has no /ICTNLP"), (403, "lets nobody read"), (503, "503")])
def test_a_file_that_is_refused(
    hub: Hub, language: Fetch, capsys: pytest.CaptureFixture[str], status: int, sentence: str
) -> None:
    hub.refuses[SHARD] = status
    assert language() == 1
    assert sentence in capsys.readouterr().err


def test_an_unknown_repository(hub: Hub, language: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    assert language("--stream-omni", "hf:nobody/nothing") == 1
    assert "is the repository, or its revision, the right one?" in capsys.readouterr().err


def test_without_a_network(
    hub: Hub, language: Fetch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    for endpoint in (f"http://127.0.0.1:{port}", "https://nowhere.invalid"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert language() == 1
        said = capsys.readouterr().err
        assert "cannot be reached" in said and "the download needs the network" in said and "Traceback" not in said


def test_an_endpoint_that_is_no_hub(
    hub: Hub, language: Fetch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc/passwd")
    assert language() == 1
    assert "must begin with https://" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_told_before_the_download(
    hub: Hub, language: Fetch, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.listed_bytes[SHARD] = 10**16
    assert language() == 1
    said = capsys.readouterr().err
    assert "10000000.00 GB are still to be downloaded: free" in said and str(out) in said
    assert not hub.asked("config.json") and not out.exists()


def test_a_token_is_shown_to_the_hub_and_not_to_its_cdn(
    hub: Hub, language: Fetch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.private = True
    assert language() == 1
    assert "set HF_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert language() == 0
    assert "Bearer hf_mine" in hub.tokens["hub"] and hub.tokens["cdn"] == {None}


def test_the_hubs_own_libraries_get_the_same_from_this_hub(hub: Hub, tmp_path: Path) -> None:
    """So it speaks as they expect, and what passes here passes there."""
    program = (
        "import sys; from huggingface_hub import snapshot_download as hf; from modelscope_hub.compat import "
        "snapshot_download as ms\n"
        f"hf({LANGUAGE!r}, local_dir=sys.argv[1] + '/hf')\n"
        f"ms({SPEECH!r}, local_dir=sys.argv[1] + '/ms')"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment, capture_output=True)
    for folder, name in (("hf", LANGUAGE), ("ms", SPEECH)):
        for path, content in hub.repositories[name].items():
            assert (tmp_path / folder / path).read_bytes() == content


@pytest.mark.parametrize("text", ["stream-omni-8b", "gh:a/b", "hf:a", "hf:a/b@", "hf:a/b c"])
def test_a_source_that_is_none(text: str, language: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        language("--stream-omni", text)
    assert "is no HUB:OWNER/NAME" in capsys.readouterr().err
