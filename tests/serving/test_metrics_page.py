"""What a server's metrics say of its stages, read from a page as Triton writes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stream_omni.serving.metrics_page import MetricsPage

PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="vision_encoder",version="1"} 7
nv_inference_request_success{model="vocoder",version="1"} 9
nv_inference_request_success{model="cosyvoice_flow",version="1"} 5
# TYPE stream_omni_stage_seconds histogram
stream_omni_stage_seconds_count{stage="vocoder"} 8
stream_omni_stage_seconds_count{stage="cosyvoice_flow"} 0
stream_omni_stage_seconds_sum{stage="vocoder"} 0.25
"""


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stage_is_known_by_its_own_count_and_one_without_a_process_by_triton(url: str) -> None:
    done = MetricsPage(url).work_done()
    assert done["vocoder"] == 8  # not what Triton took in
    assert done["cosyvoice_flow"] == 0  # took work in, and has done none
    assert done["vision_encoder"] == 7  # a plan on Triton's own backend has no count of ours
    assert done["llm"] == 0
