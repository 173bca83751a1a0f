"""Messages of gRPC that nobody should send, at every model of a running server: it refuses them, and lives."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2_grpc

from tests.faults.company import Outcome, Turn
from tests.faults.conftest import COMPANY
from tests.faults.seen import Fault, slowness
from tests.faults.supervised import Supervised
from tests.faults.test_faults import FREEING_S, PATIENCE_S, Alone, left_in_use
from tests.fuzzing import cases
from tests.serving.wire_requests import Request, wire_requests

pytestmark = pytest.mark.faults

CASES = 10_000
WAYS = ("whole", "whole", "stream", "stream", "leave")
ANSWERED, REFUSED = {"answered", "left"}, {"INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "refused"}


def test_hostile_messages(serving: Supervised, alone: Alone) -> None:
    fault, processes = Fault("fuzzing gRPC's messages", "every model", "at random", slowness()), serving.processes()
    outcomes, before = list[Outcome](), serving.recoveries()
    with grpc.insecure_channel(serving.grpc_url) as channel:
        server = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        @cases(CASES, by_chance=True)
        @given(wire_requests(), st.sampled_from(WAYS))
        def run(request: Request, way: str) -> None:
            outcomes.append(outcome := send(server, request, way))
            assert outcome.ending in ANSWERED | REFUSED, outcome

        run()
    fault.cases = len(outcomes)
    fault.hear(outcomes, injected_s=0.0)
    fault.leaked = left_in_use(serving, FREEING_S * fault.slowness)
    fault.orphans = len(serving.orphans())
    afterwards = [Turn(serving.grpc_url, kind).finish(PATIENCE_S) for kind in COMPANY]
    fault.wrong = sum(answer.content != alone[answer.kind][0].content for answer in afterwards)
    fault.keep()
    assert fault.cases >= CASES and fault.endings["answered"] > 0, fault.endings
    assert fault.lost_nothing, fault
    assert serving.processes() == processes and serving.recoveries() == before


def send(server: service_pb2_grpc.GRPCInferenceServiceStub, request: Request, way: str) -> Outcome:
    """A server that is gone, silence and everything else that is no word of ours is an ending of its own."""
    outcome = Outcome(way, "answered")
    try:
        if way == "whole":
            server.ModelInfer(request, timeout=PATIENCE_S)
        else:
            call = server.ModelStreamInfer(iter([request]), timeout=PATIENCE_S)
            if way == "leave":
                call.cancel()
                outcome.ending = "left"
                return outcome
            for answer in call:
                if answer.error_message:
                    outcome.ending, outcome.message = "refused", answer.error_message
    except grpc.RpcError as error:
        outcome.ending, outcome.message = error.code().name, error.details() or ""
    return outcome
