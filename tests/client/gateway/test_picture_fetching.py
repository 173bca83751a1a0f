"""Pictures by URL: whatever leads to an address that is not public is refused, and nothing is read without end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.picture_fetching import PictureFetcher
from stream_omni_client.gateway.public_addresses import is_public
from stream_omni_client.gateway.settings import GatewayLimits

from tests.client.gateway.conftest import MODEL
from tests.client.gateway.gateway_process import gateway_process

LIMITS = GatewayLimits(max_fetched_bytes=1000, fetch_timeout_s=1.0, max_redirects=2)


class Pages(BaseHTTPRequestHandler):
    """Each path is another behaviour."""

    protocol_version = "HTTP/1.1"
    asked: list[str] = []  # noqa: RUF012 (of one test run)

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['host']}{self.path}")
        getattr(self, f"do_{self.path.strip('/').partition('?')[0]}")()

    def do_picture(self) -> None:
        self.answer(b"a picture")

    def do_chunked(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"2\r\na \r\n7\r\npicture\r\n0\r\n\r\n")

    def do_large(self) -> None:
        self.answer(b"x" * 1001)

    def do_endless(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(20):
            self.wfile.write(b"64\r\n" + b"x" * 100 + b"\r\n")

    def do_slow(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "9")
        self.end_headers()
        self.wfile.write(b"a ")
        self.wfile.flush()
        self.rfile.read(1)  # until the other side has left

    def do_cut(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "9")
        self.end_headers()
        self.wfile.write(b"a ")
        self.close_connection = True

    def do_near(self) -> None:
        self.lead("/picture")

    def do_inside(self) -> None:
        self.lead("http://127.0.0.2/picture")

    def do_round(self) -> None:
        self.lead("/round")

    def do_file(self) -> None:
        self.lead("file:///etc/passwd")

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def lead(self, where: str) -> None:
        self.send_response(302)
        self.send_header("location", where)
        self.send_header("content-length", "0")
        self.end_headers()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return lambda: self.send_error(404)
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def pages() -> Iterator[int]:
    """The port of a web server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pages() as number:
        yield number


def fetch(url: str, port: int, limits: GatewayLimits = LIMITS) -> bytes:
    """By a fetcher to which 127.0.0.1 is the public network, and all else as it is."""
    fetcher = PictureFetcher(
        limits, lambda address: address == "127.0.0.1" or is_public(address), frozenset({port, 80})
    )
    return asyncio.run(fetcher.fetch(url, "picture"))


@pytest.mark.parametrize("path", ["picture", "chunked", "near", "picture?size=2#top"])
def test_a_picture_is_fetched(port: int, path: str) -> None:
    assert fetch(f"http://localhost:{port}/{path}", port) == b"a picture"
    assert Pages.asked[-1].startswith(f"localhost:{port}/")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("large", "more than 1000 bytes"),
        ("endless", "more than 1000 bytes"),
        ("slow", "not there after 1 s"),
        ("cut", "cannot be read"),
        ("inside", "not public"),
        ("round", "leads on more than 2 times"),
        ("file", "neither a data URL nor one of http"),
        ("missing", "answers 404"),
    ],
)
def test_what_is_no_picture_within_bounds(port: int, path: str, complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint) as caught:
        fetch(f"http://127.0.0.1:{port}/{path}", port)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "picture", "invalid_image_url")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://user:word@127.0.0.1/", "user's name"),
        ("http://127.0.0.1:22/", "its port is 22"),
        ("http://[::1]/", "not public"),
        ("http://2130706434/", "not public"),  # 127.0.0.2 as one number
        ("http://0/", "not public"),
        ("http://no.such.host.invalid/", "not known"),
        ("http://" + "a" * 300 + ".com/", "not known"),
        ("ftp://127.0.0.1/", "neither a data URL"),
        ("http://[::1/", "no URL"),
        ("http://127.0.0.1/a b", "%XX"),
        ("/etc/passwd", "neither a data URL"),
    ],
)
def test_urls_that_lead_nowhere(port: int, url: str, complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint):
        fetch(url, port)


def test_a_name_is_looked_up_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what is connected to is what was checked, although the name would lead elsewhere the second time."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        if host != "rebinding.example":
            return real(host, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert fetch(f"http://rebinding.example:{port}/picture", port) == b"a picture"
    assert len(answers) == 1


def test_one_address_that_is_not_public_is_enough(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ApiError, match="not public"):
        fetch(f"http://two.example:{port}/picture", port)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::127.0.0.1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1:2:3:4:5:6", "localhost", ""),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


def test_a_gateway_that_fetches_leaves_the_inside_alone(protocol_url: str) -> None:
    with (
        gateway_process(protocol_url, "--fetch-pictures") as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254"):
            url = f"http://{host}/latest/meta-data"
            parts: Any = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": url}}]
            with pytest.raises(BadRequestError, match="not public") as caught:
                client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
            assert caught.value.param == "messages[0].content[1].image_url.url"
