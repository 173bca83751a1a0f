"""A server that dies in the middle of an answer: an error within the timeout, and a session that stays."""

from __future__ import annotations

import os
import signal
import time

from openai import OpenAI

from stream_omni.serving.launcher import TritonServer
from tests.client.gateway.gateway_process import gateway_process
from tests.client.gateway.realtime.talk import talk


def test_a_killed_server(own_server: TritonServer) -> None:
    assert own_server.process is not None
    with (
        gateway_process(own_server.grpc_url) as process,
        OpenAI(base_url=f"{process.url}/v1", api_key="none") as client,
        talk(client) as session,
    ):
        session.write("sing")
        session.until("response.output_audio.delta")
        os.kill(own_server.process.pid, signal.SIGKILL)
        began_s = time.monotonic()
        error = session.until("error").error
        assert (error.type, error.code) == ("server_error", "no_server")
        assert own_server.grpc_url not in error.message
        done = session.until("response.done").response
        assert time.monotonic() - began_s < 5
        assert (done.status, done.output[0].status) == ("failed", "incomplete")
        session.write("hello")  # the session is there still, the server is not
        assert session.until("error").error.code == "no_server"
        session.until("response.done")


def test_a_server_that_falls_silent(protocol_url: str) -> None:
    with (
        gateway_process(protocol_url, "--idle-timeout", "1") as process,
        OpenAI(base_url=f"{process.url}/v1", api_key="none") as client,
        talk(client) as session,
    ):
        session.write("pause", output_modalities=["text"])
        session.until("response.output_text.delta")
        began_s = time.monotonic()
        error = session.until("error").error
        assert time.monotonic() - began_s < 4
        assert (error.type, error.code) == ("server_error", "timeout")
        assert protocol_url not in error.message
        assert session.until("response.done").response.status == "failed"
