"""What the page is made of: nothing from elsewhere, nothing that is built, nothing inline."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
import stream_omni_client.gateway.page as page

from tests.client.gateway.gateway_process import GatewayProcess

STATIC = Path(page.__file__).parent / "static"
FILES = sorted(STATIC.iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_served_as_it_is(gateway: GatewayProcess, file: Path) -> None:
    with urllib.request.urlopen(f"{gateway.url}/page/{file.name}") as answer:
        assert answer.read() == file.read_bytes()
        kinds = {".js": "javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
        assert kinds[file.suffix] in answer.headers["content-type"]


def test_the_page_lets_nothing_in_from_elsewhere(gateway: GatewayProcess) -> None:
    with urllib.request.urlopen(gateway.url) as answer:
        policy, content = answer.headers["content-security-policy"], answer.read()
        assert answer.headers["permissions-policy"] == "microphone=(self), camera=(self)"
    assert content == (STATIC / "index.html").read_bytes()
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(r"script-src[^;]*(http|\*|data:)", policy)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_name_only_each_other(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"https?://(?!www\.w3\.org)[\w.]+", text) == []
    assert not re.search(r"\bon\w+=|<style|javascript:", text) or file.suffix != ".html"
    named = re.findall(r'from "\./([\w.]+)"|"/page/([\w.]+)"|new URL\("(\w+\.js)"', text)
    for name in (name for names in named for name in names if name):
        assert (STATIC / name).exists()
