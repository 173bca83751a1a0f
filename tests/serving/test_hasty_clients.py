"""Clients that leave as soon as they came: every turn that reached the front door must end there, too."""

from __future__ import annotations

import contextlib
import itertools
import re

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import REQUESTS
from tests.serving.raw_client import ask, picture, tensors
from tests.serving.scrape import Scrape, seconds_until

ROUNDS, CLIENTS = 15, 60
PATIENCE_S = (0.002, 0.005, 0.01, 0.02, 0.04, 0.06)  # around the 50 ms in which the front door looks who has left


def test_turns_that_are_left_at_once_end(server: TritonServer) -> None:
    before = Scrape(server.metrics_url)
    request = turn()
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(ROUNDS):
            patience = itertools.islice(itertools.cycle(PATIENCE_S), CLIENTS)
            for call in [stub.ModelStreamInfer(iter([request]), timeout=timeout_s) for timeout_s in patience]:
                with contextlib.suppress(grpc.RpcError):
                    list(call)
    seconds_until(server.metrics_url, lambda now: now.in_use == 0 and open_turns(now) == open_turns(before), 5)
    assert ask(server.grpc_url, text="hi", max_tokens=2).error is None


def turn() -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="stream_omni")
    for tensor in tensors({"text": "hi", "image": [picture((600, 600))], "max_tokens": 2}):
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    return request


def open_turns(now: Scrape) -> float:
    """Turns that Triton handed to the front door, less those that the front door has ended."""
    begun = re.search(r'^nv_inference_exec_count\{model="stream_omni",version="1"\} (\d+)', now.text, re.MULTILINE)
    assert begun is not None
    return float(begun[1]) - now.total(REQUESTS)
