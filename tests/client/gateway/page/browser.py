"""The page as it is driven: what it sends and gets, what it plays, and what went wrong in it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.client.gateway.realtime.talk import decoded

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
RATE_HZ = 24_000
_EAR = """
class Ear extends AudioWorkletProcessor {
  process([channels]) {
    this.port.postMessage(channels.length ? channels[0].slice() : new Float32Array(128));
    return true;
  }
}
registerProcessor("ear", Ear);
"""
# What is connected to the loudspeaker is heard by the ear as well.
_LISTEN = (
    f"""
const EAR = URL.createObjectURL(new Blob([{json.dumps(_EAR)}], {{ type: "text/javascript" }}));
"""
    + """
window.heard = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) {
    this.context.audioWorklet.addModule(EAR).then(() => {
      const ear = new AudioWorkletNode(this.context, "ear", { numberOfOutputs: 0 });
      ear.port.onmessage = ({ data }) => window.heard.push(data);
      connect.call(this, ear);
    });
  }
  return connect.call(this, target, ...rest);
};
"""
)
_TAKE = """() => {
  const samples = new Int16Array(window.heard.reduce((sum, piece) => sum + piece.length, 0));
  let place = 0;
  for (const piece of window.heard) for (const sample of piece) samples[place++] = Math.round(sample * 32768);
  let text = "";
  const bytes = new Uint8Array(samples.buffer);
  for (let n = 0; n < bytes.length; n += 8192) text += String.fromCharCode(...bytes.subarray(n, n + 8192));
  return btoa(text);
}"""


class OpenPage:
    """``page`` is playwright's. ``sent`` and ``received`` are the events of its WebSockets, in order."""

    def __init__(self, page: Any, settings: dict[str, Any], listens: bool) -> None:
        self.page = page
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self.addresses: list[str] = []
        page.on("pageerror", lambda error: self.failures.append(str(error)))
        page.on("console", self._console)
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("websocket", self._websocket)
        if listens:
            page.add_init_script(_LISTEN)
        kept = json.dumps(json.dumps({"headphones": True, **settings}))  # a known signal: nothing cleans it
        page.add_init_script(f"localStorage.setItem('settings', {kept})")

    def go(self, url: str, expected: str) -> None:
        """Until the connection is in the expected state."""
        self.page.goto(url)
        self.wait(f"#connection[data-state={expected}]")

    def wait(self, selector: str, timeout_s: float = 30.0) -> Any:
        return self.page.wait_for_selector(selector, timeout=timeout_s * 1000)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def wait_for(self, expression: str, timeout_s: float = 30.0) -> None:
        self.page.wait_for_function(expression, timeout=timeout_s * 1000)

    def ask(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def choose_mode(self, mode: str) -> None:
        self.page.click(f"[name=mode][value={mode}]", force=True)

    def until_received(self, kind: str, count: int = 1, timeout_s: float = 30.0) -> dict[str, Any]:
        """The count-th event of this type."""
        waited_ms = 0
        while len(found := self.events(kind)) < count:
            assert waited_ms < timeout_s * 1000, f"no {kind} came: {[event['type'] for event in self.received]}"
            self.page.wait_for_timeout(20)
            waited_ms += 20
        return found[count - 1]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in [*self.received, *self.sent] if event["type"] == kind]

    def sound_received(self, response_id: str | None = None) -> NDArray[np.int16]:
        """int16 [N] at 24 kHz."""
        deltas = [
            event["delta"]
            for event in self.events("response.output_audio.delta")
            if response_id in (None, event["response_id"])
        ]
        return np.concatenate([decoded(delta) for delta in deltas])

    def sound_played(self) -> NDArray[np.int16]:
        """int16 [N] at 24 kHz: all that the loudspeaker was given since it was first used, silence included."""
        return decoded(self.page.evaluate(_TAKE))

    def _console(self, message: Any) -> None:
        if message.type == "error" and "WebSocket" not in message.text:  # whose failures are the page's to tell
            self.failures.append(message.text)

    def _websocket(self, socket: Any) -> None:
        socket.on("framesent", lambda payload: self.sent.append(json.loads(payload)))
        socket.on("framereceived", lambda payload: self.received.append(json.loads(payload)))


def place_of(sound: NDArray[np.int16], played: NDArray[np.int16]) -> int | None:
    """Where ``sound`` was played as one piece, without a gap; None: nowhere."""
    first = int(np.flatnonzero(sound)[0])
    for place in np.flatnonzero(played == sound[first]):
        begin = place - first
        if begin >= 0 and np.array_equal(played[begin : begin + len(sound)], sound):
            return int(begin)
    return None
