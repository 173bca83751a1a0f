"""What a stranger must not do to the server, over gRPC and HTTP, and what everybody may."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from stream_omni.serving.launcher import TritonServer
from tests.serving.raw_client import ask

Call = Callable[[triton.InferenceServerClient], object]

# A model whose file comes with the call: loading it would run it.
PLANTED = "open('/tmp/planted', 'w')\nclass TritonPythonModel:\n    pass\n"
FILES = {"file:1/model.py": PLANTED.encode()}
CONFIG = json.dumps({"backend": "python", "max_batch_size": 0})
MANAGEMENT: dict[str, Call] = {
    "load with files": lambda client: client.load_model("planted", config=CONFIG, files=FILES),
    "load over a model": lambda client: client.load_model("vocoder", config=CONFIG, files=FILES),
    "load": lambda client: client.load_model("vocoder"),
    "unload": lambda client: client.unload_model("vocoder"),
    "repository index": lambda client: client.get_model_repository_index(),
    "register shared memory": lambda client: client.register_system_shared_memory("mine", "/any", 64),
    "shared memory status": lambda client: client.get_system_shared_memory_status(),
    "unregister shared memory": lambda client: client.unregister_system_shared_memory(),
    "register CUDA memory": lambda client: client.register_cuda_shared_memory("mine", b"AAAA", 0, 64),
    "trace": lambda client: client.update_trace_settings(settings={"trace_file": "/tmp/planted"}),
    "trace of a model": lambda client: client.get_trace_settings("vocoder"),
    "log file": lambda client: client.update_log_settings({"log_file": "/tmp/planted"}),
    "log settings": lambda client: client.get_log_settings(),
}
MANAGEMENT_PATHS = [
    ("POST", "/v2/repository/models/planted/load"),
    ("POST", "/v2/repository/models/vocoder/unload"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/systemsharedmemory/region/mine/register"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/cudasharedmemory/region/mine/register"),
    ("POST", "/v2/trace/setting"),
    ("GET", "/v2/models/vocoder/trace/setting"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/logging"),
]


@pytest.mark.parametrize("name", MANAGEMENT)
def test_management_over_grpc_is_refused(url: str, name: str) -> None:
    with triton.InferenceServerClient(url) as client:
        with pytest.raises(triton.InferenceServerException, match="This protocol is restricted"):
            MANAGEMENT[name](client)
        assert client.is_model_ready("vocoder")
    assert not Path("/tmp/planted").exists()


def test_a_wrong_key_is_none(url: str) -> None:
    headers = {"triton-grpc-protocol-stream-omni-launcher": "0" * 64}
    with (
        triton.InferenceServerClient(url) as client,
        pytest.raises(triton.InferenceServerException, match="This protocol is restricted"),
    ):
        client.unload_model("vocoder", headers=headers)


@pytest.mark.parametrize(("method", "path"), MANAGEMENT_PATHS)
def test_management_over_http_is_refused(server: TritonServer, method: str, path: str) -> None:
    request = urllib.request.Request(f"http://{server.http_url}{path}", b"{}" if method == "POST" else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403 and "This API is restricted" in refused.value.read().decode()


def test_the_key_is_not_in_the_process_list(server: TritonServer) -> None:
    assert server.process is not None
    command = Path(f"/proc/{server.process.pid}/cmdline").read_text()
    assert "--grpc-restricted-protocol=" in command and server._management._key not in command


def test_everything_else_is_open(server: TritonServer) -> None:
    with triton.InferenceServerClient(server.grpc_url) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("stream_omni")
        assert client.get_model_metadata("stream_omni").name == "stream_omni"
        assert "voices" in json.loads(client.get_model_config("stream_omni").config.parameters["info"].string_value)
        assert client.get_inference_statistics("stream_omni").model_stats
    assert ask(server.grpc_url, text="hi", max_tokens=2).error is None
    for address in (f"{server.http_url}/v2/health/ready", f"{server.http_url}/v2", f"{server.metrics_url}/metrics"):
        with urllib.request.urlopen(f"http://{address}") as page:
            assert page.status == 200


def test_who_has_the_key_gives_a_model_another_process(server: TritonServer) -> None:
    server.reload("speech_tokenizer")
    server.probe(60)
