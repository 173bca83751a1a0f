"""A real Chromium with a microphone that plays a recording, and an ear at its loudspeaker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.client.gateway.gateway_process import GatewayProcess
from tests.client.gateway.page.browser import ARGUMENTS, OpenPage
from tests.client.gateway.realtime.talk import QUESTION

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of silence, the question (2.2 s), and silence again; from its end it begins anew."""
    samples, rate_hz = soundfile.read(QUESTION, dtype="int16")
    path = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    before, after = np.zeros(rate_hz // 2, np.int16), np.zeros(3 * rate_hz, np.int16)
    soundfile.write(path, np.concatenate([before, samples, after]), rate_hz)
    return path


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Any]:
    """Not for the session: as long as Playwright runs, no test could run an event loop of its own."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, f"--use-file-for-fake-audio-capture={microphone}"]
        )
        yield launched
        launched.close()


Opening = Callable[..., OpenPage]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opening]:
    """Opens a gateway's page, ``settings`` being what its user has chosen before. Where the test ``listens``, its ear
    is let in past the page's policy. Nothing may go wrong in the page's scripts."""
    contexts, pages = [], []

    def opening(
        gateway: GatewayProcess,
        settings: dict[str, Any] | None = None,
        expected: str = "open",
        listens: bool = False,
        **context: Any,
    ) -> OpenPage:
        context.setdefault("permissions", ["microphone", "camera"])
        contexts.append(browser.new_context(bypass_csp=listens, **context))
        pages.append(OpenPage(contexts[-1].new_page(), settings or {}, listens))
        pages[-1].go(gateway.url, expected)
        return pages[-1]

    yield opening
    for context in contexts:
        context.close()
    for page in pages:
        assert page.failures == []
