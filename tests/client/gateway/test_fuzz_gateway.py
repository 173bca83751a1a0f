"""Whatever a client sends the gateway is answered, or refused in OpenAI's shape: it never fails."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from websockets.sync.client import ClientConnection, connect

from tests.client.gateway.gateway_process import GatewayProcess
from tests.client.gateway.hostile_bodies import ALL, BOUNDARY, CHAT, JSON, Request, events
from tests.faults.seen import Fault, slowness
from tests.fuzzing import cases

QUICK, LONG = 80, 2000  # cases of each kind; there are five kinds
REFUSALS = {400, 404, 405, 408, 411, 413, 415, 426}
INSIDE = re.compile(r'Traceback|File "|\.py\b|site-packages|/usr/|/home/|object at 0x')
PATIENCE_S = 60.0


class Asker:
    def __init__(self, gateway: GatewayProcess) -> None:
        self._connection = http.client.HTTPConnection(gateway.address, timeout=PATIENCE_S)
        self.ended: Counter[str] = Counter()

    def ask(self, request: Request) -> None:
        path, content_type, body = request
        self._connection.request("POST", path, body, {"content-type": content_type.encode("latin-1")})
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200 or answer.status in REFUSALS, (answer.status, content[:500])
        assert b'"server_error"' not in content, content[:500]  # of what had begun
        if answer.status != 200:
            check_refusal(json.loads(content)["error"])
        self.ended["answered" if answer.status == 200 else "refused"] += 1


def check_refusal(error: dict[str, Any]) -> None:
    assert {"message", "type", "param", "code"} <= error.keys() and error["message"] and len(error["message"]) < 1500
    assert error["type"] != "server_error" and not INSIDE.search(error["message"]), error


def fuzz(gateway: GatewayProcess, kind: str, count: int, by_chance: bool) -> Counter[str]:
    asker = Asker(gateway)

    @cases(count, by_chance)
    @given(ALL[kind]())
    def run(request: Request) -> None:
        asker.ask(request)

    run()
    assert asker.ended["refused"] and (asker.ended["answered"] or kind == "anything"), asker.ended
    return asker.ended


def fuzz_realtime(gateway: GatewayProcess, count: int, by_chance: bool) -> Counter[str]:
    ended: Counter[str] = Counter()
    url = f"ws://{gateway.address}/v1/realtime?model=stream-omni"
    with connect(url, max_size=None, open_timeout=PATIENCE_S) as session:

        @cases(count, by_chance)
        @given(events())
        def run(sent: list[str]) -> None:
            for event in sent:
                session.send(event)
            ended["refused" if hear_the_end(session) else "taken"] += 1

        run()
    assert min(ended["refused"], ended["taken"]) > 0, ended
    return ended


def hear_the_end(session: ClientConnection) -> int:
    """Of what came before, by the refusal of an event that there is not; how many were refused before."""
    session.send(json.dumps({"type": "over", "event_id": "the end"}))
    refusals = 0
    while True:
        event = json.loads(session.recv(PATIENCE_S))
        if event["type"] == "error":
            if event["error"]["event_id"] == "the end":
                return refusals
            check_refusal(event["error"])
            refusals += 1


@pytest.mark.parametrize("kind", ALL)
def test_hostile_bodies(gateway: GatewayProcess, kind: str) -> None:
    fuzz(gateway, kind, QUICK, by_chance=False)


def test_a_form_that_is_none_leaves_lines_of_json_without_what_was_sent(gateway: GatewayProcess) -> None:
    Asker(gateway).ask(("/v1/audio/transcriptions", f"multipart/form-data; boundary={BOUNDARY}", b"--xylophone"))
    line = gateway.line(event="library", source="python_multipart.multipart")
    assert "place" in line and "message" not in line
    assert not any("xylophone" in json.dumps(line) for line in gateway.lines)


def test_a_warning_of_a_library_is_a_line_of_json_without_its_words() -> None:
    script = "from stream_omni_client.gateway.log import log_libraries; log_libraries()\n"
    script += "import warnings; warnings.warn('xylophone', RuntimeWarning)"
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stderr
    assert {"level": "warning", "source": "RuntimeWarning", "place": "<string>:2"}.items() <= json.loads(told).items()
    assert "xylophone" not in told


@pytest.mark.parametrize("half", ['{"model": "stream-omni", "\\ud800": 1}', '{"model": "stream-omni", "\ud800": 1}'])
def test_half_of_a_character_is_refused(gateway: GatewayProcess, half: str) -> None:
    """Escaped, or as bytes that are no UTF-8: an answer that quoted it could not be written."""
    Asker(gateway).ask((CHAT, JSON, half.encode("utf-8", "surrogatepass")))
    with connect(f"ws://{gateway.address}/v1/realtime?model=stream-omni", open_timeout=PATIENCE_S) as session:
        session.send(half.encode("utf-8", "replace").decode())
        assert hear_the_end(session) == 1


def test_hostile_events(gateway: GatewayProcess) -> None:
    fuzz_realtime(gateway, QUICK, by_chance=False)


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # of how much it would have to print
@pytest.mark.parametrize("kind", [*ALL, "events"])
def test_hostile_bodies_at_length(gateway: GatewayProcess, kind: str) -> None:
    fault = Fault("fuzzing the gateway", kind, "at random", slowness())
    ended = (
        fuzz_realtime(gateway, LONG, by_chance=True) if kind == "events" else fuzz(gateway, kind, LONG, by_chance=True)
    )
    fault.cases, fault.endings = ended.total(), dict(ended)
    fault.keep()
