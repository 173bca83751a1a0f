"""Spans in this process: what is traced, what becomes of errors, and that a collector never holds anybody up."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_omni.serving import tracing
from stream_omni.serving.errors import DeadlineError
from stream_omni.serving.open_telemetry import OpenTelemetryTracer
from stream_omni.serving.spans import CURRENT, know, own_tracer, part
from stream_omni.serving.tracing import EXPORT_TIMEOUT_S, QUEUED_SPANS, Tracing
from tests.serving.collector import Collector
from tests.serving.small_repository import make_repository

TRACE, SPAN = "1" * 32, "2" * 16


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def tracer_to(collector: Collector, ratio: float = 1.0) -> OpenTelemetryTracer:
    return OpenTelemetryTracer(Tracing(collector.endpoint).url, ratio)


@pytest.mark.parametrize(
    ("ratio", "traceparent", "is_traced"),
    [
        (0.0, None, False),
        (1.0, None, True),
        (0.0, f"00-{TRACE}-{SPAN}-01", True),
        (1.0, f"00-{TRACE}-{SPAN}-00", False),
        (0.0, "nonsense", False),
    ],
)
def test_a_client_decides_for_its_own_traces_and_the_ratio_for_all_others(
    collector: Collector, ratio: float, traceparent: str | None, is_traced: bool
) -> None:
    tracer = tracer_to(collector, ratio)
    assert (tracer.begin("turn", traceparent, time.monotonic()) is not None) is is_traced
    assert (tracer.join("stage", traceparent) is not None) is (is_traced and traceparent is not None)
    tracer.close()


def test_half_of_the_turns_is_about_half_of_them(collector: Collector) -> None:
    tracer = tracer_to(collector, 0.5)
    traced = sum(tracer.begin("turn", None, time.monotonic()) is not None for _ in range(400))
    tracer.close()
    assert 130 < traced < 270  # beyond, once in 10^11 runs


LIKE_ONE = st.tuples(*(st.binary(min_size=size, max_size=size) for size in (1, 16, 8, 1)))


@settings(deadline=None)  # the machine may have other work
@given(st.one_of(st.text(), st.integers(), st.none(), LIKE_ONE.map(lambda parts: "-".join(map(bytes.hex, parts)))))
@example(f"00-{TRACE}-{SPAN}-01\n")
@example(f"01-{TRACE}-{SPAN}-01-more")
def test_whatever_comes_as_a_traceparent_a_turn_has_a_trace(sent: object) -> None:
    span = SHARED.begin("turn", sent, time.monotonic())
    if span is not None:  # not where it says that it shall not be recorded
        assert len(span.trace_id) == 32 and span.trace_id in span.traceparent


SHARED = OpenTelemetryTracer("http://127.0.0.1:9/v1/traces", 1.0)  # nothing is ended, so nothing is sent


def test_parts_nest_and_tell_how_they_ended(collector: Collector) -> None:
    tracer = tracer_to(collector)

    async def wait() -> None:
        with part("waiting"):
            await asyncio.sleep(30)

    async def turn() -> None:
        CURRENT.set(whole)
        with part("good", "client", units=3):
            know(more=4)
            with part("inner"):
                pass
        with pytest.raises(DeadlineError), part("late"):
            raise DeadlineError("what was said")
        with pytest.raises(ExceptionGroup), part("group"):
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                await asyncio.sleep(0)
                raise ValueError("what was said")

    whole = tracer.begin("whole", None, time.monotonic())
    assert whole is not None
    asyncio.run(turn())
    whole.end()
    tracer.close()
    spans = {span.name: span for span in collector.trace(whole.trace_id, lambda found: len(found) == 6)}
    assert {spans[name].parent_id for name in ("good", "late", "group")} == {spans["whole"].span_id}
    assert spans["inner"].parent_id == spans["good"].span_id and spans["waiting"].parent_id == spans["group"].span_id
    assert (spans["good"].get("units"), spans["good"].get("more"), spans["good"].failed) == (3, 4, False)
    assert (spans["late"].failed, spans["late"].attributes["error.type"]) == (True, "DEADLINE")
    assert (spans["group"].failed, spans["group"].attributes["error.type"]) == (True, "ValueError")
    assert (spans["waiting"].failed, spans["waiting"].get("cancelled")) == (False, True)
    assert not any(b"what was said" in body for body in collector.bodies)


def test_a_span_begins_when_its_turn_came(collector: Collector) -> None:
    tracer, came_s = tracer_to(collector), time.monotonic()
    time.sleep(0.2)
    span = tracer.begin("turn", None, came_s)
    assert span is not None
    span.end()
    tracer.close()
    (sent,) = collector.trace(span.trace_id, lambda found: len(found) == 1)
    assert 0.2 <= (sent.end_ns - sent.begin_ns) / 1e9 < 5


def test_a_slow_collector_costs_spans_but_neither_time_nor_memory(collector: Collector) -> None:
    tracer = tracer_to(collector)
    with collector.slow():
        began_s = time.monotonic()
        for _ in range(2 * QUEUED_SPANS):
            span = tracer.join("stage", f"00-{TRACE}-{secrets.token_hex(8)}-01")
            assert span is not None
            span.end()
        made_s = time.monotonic()
        tracer.close()
        assert made_s - began_s < 2 * QUEUED_SPANS / 512 * EXPORT_TIMEOUT_S  # what waiting for eight exports would take
        assert time.monotonic() - made_s < 10  # left to itself, the SDK gives a collector 30 s
    time.sleep(0.5)
    assert len(collector.spans) <= 2 * QUEUED_SPANS - 1  # some were lost


def test_untraced_processes_do_not_even_load_open_telemetry() -> None:
    program = (
        "import sys, stream_omni_client, stream_omni.serving.serve, stream_omni.serving.turn_driver\n"
        "import stream_omni.serving.stage_queue, stream_omni.serving.launcher\n"
        "from stream_omni.serving.spans import own_tracer\n"
        "own_tracer()\n"
        "sys.exit('opentelemetry' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert own_tracer().begin("turn", None, 0.0) is None


def test_a_part_of_nothing_is_nothing() -> None:
    with part("alone", units=1):
        know(more=2)
        assert CURRENT.get() is None


@pytest.mark.parametrize(
    ("endpoint", "ratio", "sentence"),
    [
        ("localhost:4318", 1.0, "is no address of a collector; give one such as"),
        ("ftp://localhost:4318", 1.0, "is no address of a collector; give one such as"),
        ("http://alice:secret@localhost:4318", 1.0, "put it into OTEL_EXPORTER_OTLP_HEADERS"),
        ("http://localhost:4318", 1.5, "the ratio of traced turns is 1.5; it can be 0 to 1"),
        ("http://localhost:4318", float("nan"), "it can be 0 to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(endpoint: str, ratio: float, sentence: str) -> None:
    with pytest.raises(tracing.TracingError, match=sentence):
        Tracing(endpoint, ratio).check()


def test_the_environment_names_the_collector_where_no_option_does(tmp_path: Path) -> None:
    program = "import sys; from stream_omni.serving.serve import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--repository", str(make_repository(tmp_path / "repository"))]
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}
    served = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert served.returncode == 1 and "nonsense is no address of a collector" in served.stderr


def test_missing_packages_are_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    Tracing("http://localhost:4318").check()
    monkeypatch.setattr(tracing, "_NEEDED", ("stream_omni_no.such.package",))
    with pytest.raises(tracing.TracingError, match=r"pip install 'stream-omni\[tracing\]'"):
        Tracing("http://localhost:4318").check()
    Tracing().check()  # nothing is needed for nothing
