"""Traces of turns, as a collector gets them from a real server and its client."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from stream_omni_client import (
    AudioDelta,
    InvalidRequest,
    Overloaded,
    ServerError,
    StreamOmni,
    TextDelta,
    Unauthenticated,
)

from stream_omni.serving.api_keys import make_key, write_keys
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.security import Security
from stream_omni.serving.stage_processes import StageProcesses
from stream_omni.serving.tracing import EXPORT_TIMEOUT_S, Tracing
from tests.serving.collector import Collector, MissingSpansError, Span
from tests.serving.raw_client import Stream, picture, tensors, tone
from tests.serving.rotel import HAS_ROTEL, rotel
from tests.serving.test_logs import SECRET, line_of, log_of

TURN, INTERNAL, SERVER, CLIENT = "stream_omni.turn", 1, 2, 3
EDGE = ("InferRequest", "stream_omni", "compute")  # what Triton itself traces
TRIES = 3  # Triton's exporter loses the spans of one turn in some hundred
TRITON, OURS = "triton-inference-server", "stream-omni"


@dataclass
class Traced:
    server: TritonServer
    collector: Collector
    key: str
    narrow_key: str  # for one turn at once

    def client(self, key: str | None = None) -> StreamOmni:
        return StreamOmni(self.server.grpc_url, api_key=key or self.key, max_retries=0)

    def infer(self, model: str, **headers: str) -> triton.InferResult:
        """A whole turn in one call."""
        with triton.InferenceServerClient(self.server.grpc_url) as client:
            sent = {"authorization": f"Bearer {self.key}", **headers}
            return client.infer(model, tensors({"text": "hi", "max_tokens": 2}), headers=sent)

    def trace_of(self, request_id: str) -> list[Span]:
        """Of a turn that is over; without Triton's spans, which are told apart by their service."""
        trace_id = line_of(self.server, request_id)["trace_id"]
        whole = self.collector.trace(trace_id, lambda spans: any(span.name == TURN for span in spans))
        return [span for span in whole if span.service == OURS]


@pytest.fixture(scope="module")
def traced(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    (key, alice), (narrow_key, bob) = make_key("alice", None, 0), make_key("bob", 1, 0)
    write_keys(folder / "keys.json", [alice, bob])
    guarded = {"security": Security(folder / "keys.json"), "drain_timeout_s": 3}
    with (
        Collector() as collector,
        (folder / "server.log").open("w") as log,
        TritonServer(built_directory, tracing=Tracing(collector.endpoint), log=log, **guarded) as server,
    ):
        yield Traced(server, collector, key, narrow_key)


def traceparent(trace_id: str, flags: str = "01") -> str:
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


def joined(traced: Traced, names: set[str], ask: Callable[[str], object]) -> list[Span]:
    """The trace that `ask` puts a turn into, when Triton's spans of these ``names`` are in it, too;
    ours are never asked for twice."""
    for _ in range(TRIES):
        ask(trace_id := secrets.token_hex(16))
        with suppress(MissingSpansError):
            return traced.collector.trace(trace_id, lambda found: names <= {span.name for span in found}, 20)
    raise AssertionError(f"{TRIES} turns, and Triton told {', '.join(sorted(names))} of none")


def only(spans: list[Span], name: str, kind: int | None = None) -> Span:
    (found,) = [span for span in spans if span.name == name and kind in (None, span.kind)]
    return found


def children(spans: list[Span], parent: Span) -> list[str]:
    return [span.name for span in spans if span.parent_id == parent.span_id]


def is_whole(spans: list[Span], names: set[str]) -> bool:
    """Each process sends its own: with the ``names`` there, the stages' parts may still be on their way."""
    calls = [span for span in spans if span.kind == CLIENT and " " not in span.name]
    return names <= {span.name for span in spans} and all(
        len(children(spans, call)) == (2 if call.name == "token2wav" else 1) for call in calls
    )


def ask_aloud(traced: Traced, endpoint: str) -> str:
    """A spoken question with a picture, asked by an application that sends its own span to ``endpoint``; its trace."""
    application = TracerProvider()
    application.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    spoken = {"audio": (tone(), 16_000), "image": picture(), "output": "speech"}
    with (
        application.get_tracer("test").start_as_current_span("ask") as ask,
        traced.client() as client,
        client.stream(**spoken, max_tokens=8, max_audio_ms=2000) as stream,
    ):
        for _ in stream:
            pass
    return f"{ask.get_span_context().trace_id:032x}"


def check_what_was_asked_aloud(spans: list[Span]) -> None:
    asked, turn = only(spans, "ask"), only(spans, TURN)
    assert asked.parent_id == "" and turn.parent_id == asked.span_id and turn.kind == SERVER
    phases = ["admission", "read_request", "prompt", "picture", "speech_bottom", "speech_top START", "speech", "text"]
    sound = [name for name in children(spans, turn) if name == "token2wav"]
    assert sorted(children(spans, turn)) == sorted([*phases, *sound]) and sound
    assert children(spans, only(spans, "text")) == ["llm START"]
    for stage, within in (("speech_tokenizer", "prompt"), ("vision_encoder", "picture"), ("speech_bottom", TURN)):
        call = only(spans, stage, CLIENT)
        assert call.parent_id == only(spans, within).span_id
        assert only(spans, stage, SERVER).parent_id == call.span_id
    for call in [span for span in spans if span.name == "token2wav"]:
        assert children(spans, call) == ["cosyvoice_flow", "vocoder"]

    ours = [span for span in spans if span.service == OURS]
    by_id = {span.span_id: span for span in ours}
    for span in ours:
        assert span.begin_ns <= span.end_ns and not span.failed
        if span is not turn:
            parent = by_id[span.parent_id]
            assert parent.begin_ns <= span.begin_ns and span.end_ns <= parent.end_ns, (span.name, parent.name)
    for stage in [span for span in ours if span.kind == SERVER and span is not turn]:
        assert stage.events == ("begin",) and stage.get("batch_size") == 1


def test_one_trace_holds_the_client_the_front_door_and_every_stage(traced: Traced) -> None:
    trace_id = ask_aloud(traced, traced.collector.endpoint)
    check_what_was_asked_aloud(traced.collector.trace(trace_id, lambda found: is_whole(found, {"ask", TURN})))


@pytest.mark.skipif(not HAS_ROTEL, reason="rotel has no wheel for this machine")
def test_a_collector_of_others_takes_it_all_and_passes_it_on(built_directory: Path, tmp_path: Path) -> None:
    """Triton's spans in JSON, ours and the application's in protobuf; the store behind it gets one trace."""
    with (
        Collector() as store,
        rotel(store.endpoint, tmp_path) as endpoint,
        (tmp_path / "log").open("w") as log,
        TritonServer(built_directory, tracing=Tracing(endpoint), log=log, drain_timeout_s=3) as server,
    ):
        traced = Traced(server, store, "", "")
        for _ in range(TRIES):
            trace_id = ask_aloud(traced, endpoint)
            with suppress(MissingSpansError):
                spans = store.trace(trace_id, lambda found: is_whole(found, {"ask", TURN, *EDGE}), 20)
                break
        else:
            raise AssertionError(f"{TRIES} turns, and Triton told of none")
    check_what_was_asked_aloud([span for span in spans if span.service != TRITON])
    request, model, compute = (only(spans, name) for name in EDGE)
    assert {span.service for span in (request, model, compute)} == {TRITON}
    assert request.parent_id == only(spans, TURN).parent_id == only(spans, "ask").span_id


def test_the_servers_edge_is_in_the_turns_trace(traced: Traced) -> None:
    parents = []

    def ask(trace_id: str) -> None:
        parents.append(sent := traceparent(trace_id))
        with traced.client() as client:
            client.chat("hi", max_tokens=2, traceparent=sent)

    spans = joined(traced, {TURN, *EDGE}, ask)
    request, model, compute = (only(spans, name) for name in EDGE)
    assert {span.service for span in (request, model, compute)} == {TRITON}
    assert request.parent_id == only(spans, TURN).parent_id == parents[-1].split("-")[2]
    assert (model.parent_id, compute.parent_id) == (request.span_id, model.span_id)


def test_a_turn_knows_what_it_took_and_its_log_line_names_the_trace(traced: Traced) -> None:
    with traced.client() as client:
        reply = client.chat(audio=(tone(), 16_000), output="speech", max_tokens=8, max_audio_ms=2000)
    spans = traced.trace_of(reply.request_id)
    turn, done, audio = only(spans, TURN), reply.done, reply.audio
    assert turn.parent_id == ""  # nobody sent a traceparent
    assert done is not None and audio is not None
    assert turn.get("request_id") == reply.request_id and turn.get("mode") == "speech_to_speech"
    assert (turn.get("outcome"), turn.get("finish_reason")) == ("ok", done.finish_reason)
    for name, count in done.usage.items():
        assert turn.get(name) == count
    assert turn.get("audio_s") == pytest.approx(audio.duration_s, abs=0.001)
    assert turn.events == ("first_transcript", "first_text", "first_audio", "first_done")
    assert only(spans, "text").get("tokens") == done.usage["text_tokens"]


def test_turns_do_not_share_traces(traced: Traced) -> None:
    url, headers = traced.server.grpc_url, {"authorization": f"Bearer {traced.key}"}
    ids = [f"company-{number}" for number in range(3)]
    turns = [Stream(url, {"text": "hi", "max_tokens": 3}, request_id=name, headers=headers) for name in ids]
    for turn in turns:
        assert turn.finish().error is None
    traces = [traced.trace_of(name) for name in ids]
    assert len({spans[0].trace_id for spans in traces}) == len(ids)
    for name, spans in zip(ids, traces, strict=True):
        assert [span.get("request_id") for span in spans if span.parent_id == ""] == [name]


def test_nothing_that_was_said_and_no_key_is_in_a_trace(traced: Traced) -> None:
    with traced.client() as client:
        history = [{"role": "user", "text": SECRET}]
        reply = client.chat(SECRET, system=SECRET, history=history, output="speech", max_audio_ms=400, max_tokens=4)
        with pytest.raises(InvalidRequest) as refused:
            client.chat(SECRET, voice=SECRET)
    for request_id in (reply.request_id, refused.value.request_id):
        assert request_id is not None and traced.trace_of(request_id)
    for body in traced.collector.bodies:
        for word in (SECRET, traced.key, traced.server.stage_secret.word):
            assert word.encode() not in body


def test_a_refused_turn_ends_its_spans_and_counts_as_the_clients_mistake(traced: Traced) -> None:
    with traced.client() as client, pytest.raises(InvalidRequest) as refused:
        client.chat("hi", temperature=9)
    assert refused.value.request_id is not None
    spans = traced.trace_of(refused.value.request_id)
    turn = only(spans, TURN)
    assert (turn.get("outcome"), turn.get("reason"), turn.failed) == ("invalid", "INVALID_ARGUMENT", False)
    assert only(spans, "read_request").failed


def test_a_turn_without_a_place_ends_its_spans_and_counts_as_the_servers_failure(traced: Traced) -> None:
    with traced.client(traced.narrow_key) as client, client.stream("hi", output="speech", max_tokens=500) as first:
        next(first)
        with pytest.raises(Overloaded) as refused:
            client.chat("hi")
    assert refused.value.request_id is not None
    spans = traced.trace_of(refused.value.request_id)
    turn = only(spans, TURN)
    assert (turn.get("outcome"), turn.get("reason"), turn.failed) == ("rejected", "OVERLOADED", True)
    assert turn.attributes["error.type"] == "OVERLOADED" and only(spans, "admission").failed


@pytest.mark.parametrize("kind", [TextDelta, AudioDelta])
def test_a_cancelled_turn_ends_its_spans(traced: Traced, kind: type[TextDelta | AudioDelta]) -> None:
    """All but those of a stage that is at work, which a turn's end does not interrupt."""
    with traced.client() as client, client.stream("hi", output="speech", max_tokens=500) as stream:
        next(event for event in stream if isinstance(event, kind))
    spans = traced.trace_of(stream.request_id)
    turn = only(spans, TURN)
    assert (turn.get("outcome"), turn.failed) == ("cancelled", False)
    assert {"llm CANCEL", "speech_top CANCEL"} & {span.name for span in spans}
    assert only(spans, "speech").get("cancelled") is True
    late = {(span.name, span.kind) for span in spans if span.end_ns > turn.end_ns}
    assert late <= {("cosyvoice_flow", SERVER), ("vocoder", SERVER)}


@pytest.mark.faults
def test_a_turn_whose_stage_dies_has_failed_and_tells_where(traced: Traced) -> None:
    server = traced.server
    with traced.client() as client:
        try:
            with client.stream("hi", output="speech", max_tokens=500) as stream, pytest.raises(ServerError):
                next(event for event in stream if isinstance(event, TextDelta))
                assert server.process is not None
                os.kill(StageProcesses(server.process.pid).of(("speech_top",))["speech_top"], signal.SIGKILL)
                for _ in stream:
                    pass
        finally:
            server.reload("speech_top")
        spans = traced.trace_of(stream.request_id)
        assert client.chat("hi", output="speech", max_tokens=2).done is not None
    turn = only(spans, TURN)
    assert (turn.get("outcome"), turn.get("reason"), turn.failed) == ("error", "INTERNAL", True)
    assert turn.attributes["error.type"] == "INTERNAL" and only(spans, "speech").failed
    lines = [json.loads(line) for line in log_of(server).splitlines() if stream.request_id in line and line[0] == "{"]
    assert {"turn", "stage_failed"} <= {line["event"] for line in lines if line["trace_id"] == turn.trace_id}


def test_a_whole_turn_in_one_call_is_one_trace(traced: Traced) -> None:
    detail = json.loads(traced.infer("turn").as_numpy("detail")[0])
    trace_id = line_of(traced.server, detail["request_id"])["trace_id"]
    steps = {"stream_omni.prepare", "stream_omni.answer"}
    spans = traced.collector.trace(trace_id, lambda found: steps <= {span.name for span in found})
    prepare, answer = (only(spans, name) for name in sorted(steps, reverse=True))
    assert prepare.parent_id == "" and answer.parent_id == prepare.span_id
    assert (answer.get("text_tokens"), answer.get("mode")) == (detail["usage"]["text_tokens"], "text_to_text")
    assert only(spans, "text").parent_id == answer.span_id

    steps |= {"InferRequest", "turn"}  # Triton's, which has `prepare` and `answer` below
    spans = joined(traced, steps, lambda trace_id: traced.infer("turn", traceparent=traceparent(trace_id)))
    assert {"prepare", "answer"} <= set(children(spans, only(spans, "turn")))


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "00",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "2" * 16 + "-01",
        "x" * 5000,
        "00-é",
    ],
)
def test_a_traceparent_that_is_none_is_ignored(traced: Traced, sent: str) -> None:
    request_id = secrets.token_hex(4)
    parameters = {"traceparent": sent, "authorization": f"Bearer {traced.key}"}
    asked = Stream(traced.server.grpc_url, {"text": "hi", "max_tokens": 2}, request_id, parameters=parameters)
    assert asked.finish().error is None
    assert only(traced.trace_of(request_id), TURN).parent_id == ""


def test_what_the_client_does_not_record_nobody_records(traced: Traced) -> None:
    unrecorded = secrets.token_hex(16)
    with traced.client() as client:
        reply = client.chat("hi", max_tokens=2, traceparent=traceparent(unrecorded, "00"))
        joined(
            traced,
            {TURN, *EDGE},
            lambda trace_id: client.chat("hi", max_tokens=2, traceparent=traceparent(trace_id)),
        )
    assert "trace_id" not in line_of(traced.server, reply.request_id)
    assert not [span for span in traced.collector.spans if span.trace_id == unrecorded]


def test_nothing_of_strangers_is_traced_by_the_front_door(traced: Traced) -> None:
    trace_id = secrets.token_hex(16)
    with StreamOmni(traced.server.grpc_url) as client, pytest.raises(Unauthenticated) as refused:
        client.chat("hi", traceparent=traceparent(trace_id))
    assert refused.value.request_id is not None
    assert "trace_id" not in line_of(traced.server, refused.value.request_id)


def test_a_collector_that_is_slow_or_dead_delays_nobody(traced: Traced) -> None:
    collector = traced.collector
    with traced.client() as client:

        def turns_s() -> list[float]:
            """What some turns take, over more than one interval of exports."""
            took_s = []
            for _ in range(4):
                began_s = time.monotonic()
                client.chat("hi", output="speech", max_tokens=3, max_audio_ms=400)
                took_s.append(time.monotonic() - began_s)
                time.sleep(0.5)
            return took_s

        usual_s = max(turns_s())
        for ill in (collector.slow, collector.dead):
            with ill():
                assert max(turns_s()) < usual_s + EXPORT_TIMEOUT_S  # else one has waited for an export
        reply = client.chat("hi", max_tokens=3)
    assert traced.trace_of(reply.request_id)
    complaints = [line for line in log_of(traced.server).splitlines() if '"event": "tracing"' in line]
    assert len(complaints) <= 16  # one a minute from each of eight processes, whatever the number of spans


def test_without_an_address_nothing_is_traced(server: TritonServer) -> None:
    with StreamOmni(server.grpc_url) as client:
        reply = client.chat("hi", max_tokens=2, traceparent=traceparent(secrets.token_hex(16)))
    assert "trace_id" not in line_of(server, reply.request_id)


@pytest.mark.faults
def test_a_server_that_ends_waits_for_no_collector(built_directory: Path, tmp_path: Path) -> None:
    with (
        Collector() as collector,
        (tmp_path / "log").open("w") as log,
        TritonServer(built_directory, tracing=Tracing(collector.endpoint), log=log, drain_timeout_s=20) as server,
        StreamOmni(server.grpc_url) as client,
        collector.slow(),
    ):
        client.chat("hi", max_tokens=3, traceparent=traceparent(secrets.token_hex(16)))
        process, began_s = server.process, time.monotonic()
        server.stop()
        assert process is not None and process.returncode == 0  # it was not killed
        assert time.monotonic() - began_s < 9  # 3.5 s where nothing is traced; 10 s is an exporter's own limit
