"""What somebody does with the page, in a real Chromium: speaks, writes, shows, listens, interrupts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.client.gateway.gateway_process import GatewayProcess, gateway_process
from tests.client.gateway.page.browser import OpenPage, place_of
from tests.client.gateway.page.conftest import Opening
from tests.client.gateway.realtime.talk import decoded, spoken_question

PICTURE = Path(__file__).parents[4] / "build" / "demo" / "media" / "picture.png"
WRITTEN = {"answers": "text"}
_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const bytes = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = bytes(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour.slice(0, 3);
    }
    return bytes("Canvas").slice(0, 3);
  };
  const told = [];
  const texts = "h1, h2, p, li, span, b, dt, dd, small, label, kbd, button, select";
  for (const element of document.querySelectorAll(texts)) {
    const isShown = element.checkVisibility({ opacityProperty: true }) && element.getBoundingClientRect().width > 2;
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!isShown || !hasText || element.closest(".hidden, :disabled")) continue;
    const [front, back] = [bytes(getComputedStyle(element).color).slice(0, 3), behind(element)].map(light);
    told.push([element.textContent.trim().slice(0, 30), Math.max(front, back) / Math.min(front, back)]);
  }
  return told;
}"""


def test_a_written_question_is_answered_in_speech_without_a_gap(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, listens=True)
    assert page.page.is_visible("#empty")
    page.ask("recite")
    lit = _watch_text_light_up(page)
    page.wait(".assistant.over")
    assert place_of(page.sound_received(), page.sound_played()) is not None
    assert not page.page.is_visible("#empty")
    assert page.text(".user .said") == "recite"
    assert page.text(".answer") == "one two three four five"
    words = [text.split()[-1] for text in lit if text]
    assert [word for n, word in enumerate(words) if word not in words[:n]] == ["one", "two", "three", "four", "five"]
    assert [name.text_content() for name in page.page.query_selector_all(".latency dt")] == ["text", "sound"]
    assert {url.partition("/page/")[0].rstrip("/") for url in page.addresses if url[:4] != "blob"} == {gateway.url}


def _watch_text_light_up(page: OpenPage) -> list[str]:
    """What was lit, whenever it was more than before."""
    seen: list[str] = []
    deadline_s = time.monotonic() + 40
    while not page.page.query_selector(".assistant.over"):
        assert time.monotonic() < deadline_s, (seen, page.page.evaluate("window.heard.length"), len(page.received))
        lit = page.page.evaluate("[...document.querySelectorAll('.answer .spoken')].map((s) => s.textContent).join('')")
        if not seen or lit != seen[-1]:
            seen.append(lit)
        page.page.wait_for_timeout(50)
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
    return seen


def test_text_lights_up_when_it_is_heard(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, listens=True)
    page.ask("recite")
    page.wait("#talk[data-phase=speaking]")
    page.wait_for("document.querySelectorAll('.answer .spoken').length === 3")
    played = len(page.sound_played()) - int(np.flatnonzero(page.sound_played())[0])
    assert played / 24_000 == pytest.approx(2.0, abs=0.4)  # "three" begins to be spoken after two seconds
    assert page.text(".answer .coming").strip() == "four five"


def test_press_to_talk(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, listens=True)
    page.page.hover("#talk")
    page.page.mouse.down()
    page.wait("#talk[data-phase=listening]")
    assert page.text("#status") == "Let go to send"
    page.page.wait_for_timeout(3200)
    assert page.page.get_attribute("#level", "aria-valuenow") != ""
    page.page.mouse.up()
    page.wait(".assistant.over")
    assert page.text(".user .said") == "what is this"
    assert place_of(page.sound_received(), page.sound_played()) is not None
    said = np.concatenate([decoded(event["audio"]) for event in page.events("input_audio_buffer.append")])
    assert _likeness(said, spoken_question()) > 0.95
    names = [name.text_content() for name in page.page.query_selector_all(".latency dt")]
    assert names == ["understood", "text", "sound"]
    kinds = [event["type"] for event in page.sent]
    assert kinds[-2:] == ["input_audio_buffer.commit", "response.create"]


def _likeness(sound: np.ndarray, pattern: np.ndarray) -> float:
    """The correlation where they lie upon each other best."""
    length = len(sound) + len(pattern)
    spectra = np.fft.rfft(sound, length) * np.conj(np.fft.rfft(pattern, length))
    place = int(np.argmax(np.fft.irfft(spectra, length)[: max(1, len(sound) - len(pattern) + 1)]))
    return float(np.corrcoef(sound[place : place + len(pattern)], pattern)[0, 1])


def test_a_tap_begins_and_another_one_ends(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, has_touch=True, viewport={"width": 390, "height": 800})
    page.page.tap("#talk")
    page.wait("#talk[data-phase=listening]")
    page.page.wait_for_timeout(2500)
    assert page.text("#status") == "Tap to send"
    page.page.tap("#talk")
    page.wait(".assistant.over")
    assert page.text(".user .said") == "what is this"


def test_the_keyboard_is_enough(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway)
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.textContent") == "Skip to the talk button"
    page.page.keyboard.press("Enter")
    page.page.evaluate("document.activeElement.blur()")
    page.page.keyboard.down("Space")
    page.wait("#talk[data-phase=listening]")
    page.page.wait_for_timeout(2500)
    page.page.keyboard.up("Space")
    page.wait(".assistant.over")
    page.ask("sing")
    page.wait("#talk[data-phase=speaking]")
    page.page.keyboard.press("Escape")
    page.wait("#talk[data-phase=idle]")
    assert page.until_received("response.done", 2)["response"]["status"] == "cancelled"
    assert page.page.locator(".turn").last.locator(".note").inner_text() == "You stopped it there."
    page.page.fill("#text", "two words")
    page.page.press("#text", "Shift+Enter")
    page.page.type("#text", "in two lines")
    assert page.page.input_value("#text") == "two words\nin two lines"


def test_hands_free_and_who_speaks_interrupts(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, {"instructions": "sing"}, listens=True)
    page.choose_mode("free")
    page.wait("#talk[data-phase=speaking]")
    assert page.text(".user .said") == "sing to me", [event["type"] for event in page.received if "delta" not in event]
    assert page.text("#status") == "Speak to interrupt"
    started = page.until_received("input_audio_buffer.speech_started", 2)  # the microphone's recording begins anew
    page.choose_mode("press")
    done = page.until_received("response.done")
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    truncate = page.until_received("conversation.item.truncate")
    truncated = page.until_received("conversation.item.truncated")
    assert started["audio_start_ms"] > 3000
    sung = page.sound_received(done["response"]["id"])
    heard = page.sound_played()
    heard = heard[int(np.flatnonzero(heard)[0]) - 1 :]  # its first sample is 0
    length = int(np.flatnonzero(heard)[-1])
    assert length / 24 == pytest.approx(truncate["audio_end_ms"], abs=150)
    assert np.array_equal(heard[: length - 200], sung[: length - 200])  # then it fades, within some milliseconds
    assert not heard[length + 1 :].any()
    assert truncated["transcript"].split() == ["la"] * -(-truncate["audio_end_ms"] // 200)
    assert page.text(".note") == "You spoke, so it stopped there."


def test_pictures_by_file_paste_drop_and_camera(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, WRITTEN)
    page.page.set_input_files("#choose", PICTURE)
    page.wait("#pictures li:nth-child(1)")
    for number, kind in ((2, "paste"), (3, "drop")):
        _bring(page, kind)
        page.wait(f"#pictures li:nth-child({number})")
    page.page.click("#open-camera")
    page.page.click("#take:enabled")
    page.wait("#pictures li:nth-child(4)")
    _bring(page, "drop")
    page.wait_for("document.querySelector('#notice-text').textContent.includes('4 pictures at the most')")
    page.page.click("[aria-label='Remove picture 2']")
    assert page.page.locator("#pictures li").count() == 3
    page.ask("report")
    page.wait(".assistant.over")
    told = json.loads(page.text(".answer"))
    assert len(told["image"]) == 3
    assert page.page.locator(".user .shown img").count() == 3
    assert page.page.locator("#pictures li").count() == 0


def _bring(page: OpenPage, kind: str) -> None:
    page.page.evaluate(
        """async (kind) => {
          const transfer = new DataTransfer();
          transfer.items.add(await png());
          const options = { bubbles: true, cancelable: true };
          const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: transfer, ...options })
            : new DragEvent(kind, { dataTransfer: transfer, ...options });
          document.body.dispatchEvent(event);
          async function png() {
            const canvas = new OffscreenCanvas(3000, 20);
            canvas.getContext("2d").fillRect(0, 0, 10, 10);
            return new File([await canvas.convertToBlob()], "picture.png", { type: "image/png" });
          }
        }""",
        kind,
    )


def test_what_is_no_picture_is_told(open_page: Opening, gateway: GatewayProcess, tmp_path: Path) -> None:
    page = open_page(gateway)
    (tmp_path / "notes.png").write_text("no picture")
    page.page.set_input_files("#choose", tmp_path / "notes.png")
    page.wait("#notice")
    assert page.text("#notice-text") == "notes.png is no picture that this browser can read."


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("NotAllowedError", "The microphone is blocked."),
        ("NotFoundError", "No microphone was found."),
        ("NotReadableError", "The microphone is taken by another program."),
    ],
)
def test_without_a_microphone_the_page_says_why(
    open_page: Opening, gateway: GatewayProcess, failure: str, told: str
) -> None:
    page = open_page(gateway)
    refuse = f"async () => {{ throw new DOMException('no', '{failure}'); }}"
    page.page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse}; }}")
    page.choose_mode("free")
    page.wait("#notice")
    assert page.text("#notice-text").startswith(told)
    assert page.page.is_checked("[value=press]")
    page.ask("hello")
    page.wait(".assistant.over")  # writing works all the same


def test_a_busy_server_is_told_and_asked_again(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway)
    page.ask("refuse UNAVAILABLE OVERLOADED retry_after_ms=2000: All places are taken.")
    page.wait(".note.failed")
    assert page.text(".note.failed").startswith("All places are taken.")
    assert "busy" in page.text("#notice-text")
    page.page.click(".note.failed button")
    page.until_received("response.done", 2)
    assert page.page.locator(".assistant").count() == 2


def test_a_lost_connection_comes_back_and_knows_the_conversation(open_page: Opening, protocol_url: str) -> None:
    with gateway_process(protocol_url) as first:
        page = open_page(first, WRITTEN)
        page.ask("hello")
        page.wait(".assistant.over")
        port = first.url.rpartition(":")[2]
    page.wait("#connection[data-state=waiting]")
    assert "connection was lost" in page.text("#notice-text")
    with gateway_process(protocol_url, "--port", port):
        page.wait("#connection[data-state=open]")
        assert not page.page.is_visible("#notice")
        page.ask("report")
        page.wait(".assistant:nth-child(4).over")
        history = json.loads(json.loads(page.page.locator(".answer").last.inner_text())["history"][0])
        page.page.context.close()
    assert [turn["text"] for turn in history] == ["hello", "Grüße, 世界"]


def test_a_server_killed_in_the_middle_is_told(open_page: Opening, own_server: Any) -> None:
    with gateway_process(own_server.grpc_url) as process:
        page = open_page(process)
        page.ask("sing")
        page.wait("#talk[data-phase=speaking]")
        own_server.process.kill()
        began_s = time.monotonic()
        page.wait(".note.failed", 10)
        assert time.monotonic() - began_s < 5
        assert page.text(".note.failed").startswith("The server behind this gateway cannot be reached now")
        assert page.page.get_attribute("#connection", "data-state") == "open"
        page.wait("#talk[data-phase=idle]")
        page.page.context.close()


def test_a_proposed_question_can_be_asked(open_page: Opening, protocol_url: str, tmp_path: Path) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("hello\n\nreport this\n", encoding="utf-8")
    with gateway_process(protocol_url, "--examples", str(questions)) as proposing:
        page = open_page(proposing)
        assert page.page.locator("#examples button").all_inner_texts() == ["hello", "report this"]
        page.page.click("#examples button >> nth=0")
        assert page.page.input_value("#text") == "hello"
        page.page.press("#text", "Enter")
        page.wait(".assistant.over")
        assert not page.page.is_visible("#examples")
        page.page.context.close()


def test_a_key_is_asked_for(open_page: Opening, protocol_url: str, key_file: Path, alice: str) -> None:
    with gateway_process(protocol_url, "--api-keys", str(key_file), "--notice", "Built with Llama") as locked:
        page = open_page(locked, expected="refused")
        page.wait("#access[open]")
        page.page.fill("#key", "so_wrong")
        page.page.press("#key", "Enter")
        page.wait("#access[open]")
        page.page.fill("#key", alice)
        page.page.press("#key", "Enter")
        page.wait("#connection[data-state=open]")
        assert page.text("#imprint") == "Built with Llama"
        page.ask("hello")
        page.wait(".assistant.over")
        page.page.context.close()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [((320, 568), "light"), ((390, 844), "dark"), ((844, 390), "dark"), ((1280, 800), "light")],
    ids=lambda value: f"{value[0]}px" if isinstance(value, tuple) else value,
)
def test_it_fits_and_can_be_read(
    open_page: Opening, gateway: GatewayProcess, size: tuple[int, int], scheme: str
) -> None:
    width, height = size
    page = open_page(gateway, viewport={"width": width, "height": height}, color_scheme=scheme)
    page.ask("recite")
    page.wait("#talk[data-phase=speaking]")
    page.page.click("#open-settings")
    sheet = page.page.locator("#settings").bounding_box()
    assert sheet["x"] >= 0 and sheet["x"] + sheet["width"] <= width
    page.page.keyboard.press("Escape")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    button = page.page.locator("#talk").bounding_box()
    assert button["y"] + button["height"] <= height
    assert button["width"] >= 44 and button["height"] >= 44
    contrasts = page.page.evaluate(_CONTRAST)
    assert len(contrasts) > 8
    assert [told for told in contrasts if told[1] < 4.5] == []


def test_who_does_not_see_it_hears_names(open_page: Opening, gateway: GatewayProcess) -> None:
    page = open_page(gateway, WRITTEN)
    snapshot = page.page.locator("body").aria_snapshot()
    for part in (
        'heading "Stream-Omni" [level=1]',
        'button "Talk"',
        'button "Settings"',
        'button "Choose a picture"',
        'button "Take a picture"',
        'textbox "Your question"',
        'button "Send" [disabled]',
        'radio "Press" [checked]',
        'radio "Hands-free"',
        'list "Conversation"',
        "status: Hold to talk",
    ):
        assert part in snapshot, snapshot
    page.ask("hello")
    page.wait(".assistant.over")
    assert page.page.inner_text("#announce") == "Grüße, 世界"


@pytest.fixture(scope="module")
def pipeline(url: str) -> Iterator[GatewayProcess]:
    with gateway_process(url) as process:
        yield process


def test_the_real_pipeline_hands_free(open_page: Opening, pipeline: GatewayProcess) -> None:
    page = open_page(pipeline, listens=True)
    page.page.set_input_files("#choose", PICTURE)
    page.wait("#pictures img")
    page.choose_mode("free")
    page.until_received("input_audio_buffer.speech_stopped")
    page.choose_mode("press")  # so that the recording does not interrupt it when it begins anew
    page.wait(".assistant.over", 60)
    done = page.until_received("response.done")["response"]
    assert done["status"] == "completed" or done["status_details"]["reason"] == "max_output_tokens"
    completed = page.until_received("conversation.item.input_audio_transcription.completed")
    assert page.text(".user .said") == completed["transcript"].strip()
    assert page.page.locator(".user .shown img").count() == 1
    first_piece = decoded(page.events("response.output_audio.delta")[0]["delta"])
    assert place_of(first_piece, page.sound_played()) is not None  # later ones wait where the server is late
