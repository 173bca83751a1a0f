"""Which trace the client puts a turn into."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from stream_omni_client import InvalidRequest
from stream_omni_client.trace_context import choose_traceparent, is_sampled

GIVEN = f"00-{'1' * 32}-{'2' * 16}-01"


@pytest.mark.parametrize(("sampler", "is_recorded"), [(ALWAYS_ON, True), (ALWAYS_OFF, False)])
def test_the_applications_active_span_is_the_parent(sampler: Sampler, is_recorded: bool) -> None:
    assert choose_traceparent(None) is None
    with TracerProvider(sampler=sampler).get_tracer("test").start_as_current_span("ask") as span:
        chosen = choose_traceparent(None)
        context = span.get_span_context()
    assert chosen == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert is_sampled(chosen) is is_recorded


def test_one_that_is_given_counts_more() -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("ask"):
        assert choose_traceparent(GIVEN) == GIVEN


@pytest.mark.parametrize(
    "given",
    ["", "00", GIVEN + "\n", GIVEN.upper() + "A", GIVEN.replace("1", "0"), GIVEN.replace("2", "0"), f"01{GIVEN[2:]}"],
)
def test_what_is_none_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest, match="give 00-TRACE-SPAN-FLAGS"):
        choose_traceparent(given)


def test_without_open_telemetry_there_is_no_trace() -> None:
    program = (
        "import sys\n"
        "from stream_omni_client.trace_context import choose_traceparent\n"
        "sys.exit(choose_traceparent(None) is not None or 'opentelemetry' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
