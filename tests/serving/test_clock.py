"""No deadline hangs on the wall clock, which may be set at any time: what reads it only writes it down."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# `time` and `gmtime` of time, `now` and `utcnow` of datetime ...: whoever needs one says why here
WALL_CLOCK = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow"}
WRITES_IT_DOWN = {
    "stream_omni/chat_template.py": "the date that a checkpoint's template asks for",
    "stream_omni/serving/api_keys.py": "when a key was made; keys have no end",
    "stream_omni/serving/event_log.py": "the time of a line of the log",
    "stream_omni/serving/open_telemetry.py": "when a span began",
    "client/stream_omni_client/gateway/chat_answer.py": "when an answer was made",
    "client/stream_omni_client/gateway/gateway.py": "since when the model is there",
    "client/stream_omni_client/gateway/log.py": "the time of a line of the log",
    "client/stream_omni_client/gateway/realtime/session.py": "when a session will end, as its client is told",
    "client/stream_omni_eval/evaluation.py": "when a report was made",
}


def test_the_wall_clock_is_only_written_down() -> None:
    found = set()
    for folder in ("stream_omni", "client", "model_repository"):
        for path in (ROOT / folder).rglob("*.py"):
            if any(_is_wall_clock(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
                found.add(str(path.relative_to(ROOT)))
    assert found == WRITES_IT_DOWN.keys()


def _is_wall_clock(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom) and node.module == "time":
        return any(f"time.{name.name}" in WALL_CLOCK for name in node.names)
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and _name(node) in WALL_CLOCK


def _name(node: ast.Attribute) -> str:
    assert isinstance(node.value, ast.Name)
    return f"{node.value.id}.{node.attr}"
