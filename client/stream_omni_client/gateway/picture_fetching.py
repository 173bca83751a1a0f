"""Pictures that a request names by URL, fetched for it: from public addresses only, within bounds of size and time.

A name is looked up once, and what is connected to is the address that was checked: a name that answers otherwise the
next time opens nothing. Each redirect is checked as the first address was.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import h11

from stream_omni_client.gateway.api_errors import ApiError, invalid, unsupported
from stream_omni_client.gateway.public_addresses import is_public
from stream_omni_client.gateway.settings import GatewayLimits

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_READ_BYTES = 65_536


@dataclass(frozen=True)
class _Answer:
    """``location``: where it was sent on to, None: here is the ``content``."""

    content: bytes
    location: str | None


class _FetchError(Exception):
    """A reason for the caller."""


class PictureFetcher:
    """``is_allowed`` judges addresses, ``ports`` are the only ones."""

    def __init__(
        self,
        limits: GatewayLimits,
        is_allowed: Callable[[str], bool] = is_public,
        ports: frozenset[int] = frozenset(_PORTS.values()),
    ) -> None:
        self._limits, self._is_allowed, self._ports = limits, is_allowed, ports
        self._tls = ssl.create_default_context()

    async def fetch(self, url: str, path: str) -> bytes:
        """The picture's bytes; ``path`` is where the request names it. Raises ApiError."""
        try:
            async with asyncio.timeout(self._limits.fetch_timeout_s):
                return await self._follow(url)
        except TimeoutError:
            raise _cannot(path, f"it was not there after {self._limits.fetch_timeout_s:g} s") from None
        except _FetchError as failure:
            raise _cannot(path, str(failure)) from None
        except (OSError, h11.ProtocolError) as error:  # what they say may name the inside of our network
            raise _cannot(path, f"its server cannot be read ({type(error).__name__})") from None

    async def _follow(self, url: str) -> bytes:
        for _ in range(self._limits.max_redirects + 1):
            answer = await self._get(_split(url))
            if answer.location is None:
                return answer.content
            url = urljoin(url, answer.location)
        raise _FetchError(f"it leads on more than {self._limits.max_redirects} times")

    async def _get(self, url: SplitResult) -> _Answer:
        assert url.hostname is not None
        port = url.port or _PORTS[url.scheme]
        if port not in self._ports:
            raise _FetchError(f"its port is {port}; only {sorted(self._ports)} are asked")
        reader, writer = await self._connect(url.hostname, port, with_tls=url.scheme == "https")
        try:
            return await self._exchange(url, reader, writer)
        finally:
            writer.transport.abort()  # nothing is to be said any more

    async def _connect(self, host: str, port: int, with_tls: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise _FetchError("its name is not known") from None
        addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
        if not all(map(self._is_allowed, addresses)):
            raise _FetchError("it leads to an address that is not public")
        tls = {"ssl": self._tls, "server_hostname": host} if with_tls else {}
        for address in addresses[:-1]:
            try:
                return await asyncio.open_connection(address, port, **tls)  # type: ignore[arg-type]
            except OSError:
                continue
        return await asyncio.open_connection(addresses[-1], port, **tls)  # type: ignore[arg-type]

    async def _exchange(self, url: SplitResult, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Answer:
        http = h11.Connection(h11.CLIENT)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = [
            ("host", url.netloc),
            ("accept", "image/*"),
            ("accept-encoding", "identity"),
            ("connection", "close"),
        ]
        writer.write(http.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
        http.send(h11.EndOfMessage())
        await writer.drain()
        content = bytearray()
        while not isinstance(event := await _next_event(http, reader), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                if location := self._read_head(event):
                    return _Answer(b"", location)
            elif isinstance(event, h11.Data):
                content += event.data
                self._check_size(len(content))
            elif isinstance(event, h11.ConnectionClosed):
                raise _FetchError("its server broke off")
        return _Answer(bytes(content), None)

    def _read_head(self, response: h11.Response) -> str | None:
        """Where it leads on to. Raises _FetchError for what brings no picture."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        if response.status_code in _REDIRECTS and "location" in headers:
            return headers["location"]
        if response.status_code != 200:
            raise _FetchError(f"its server answers {response.status_code}")
        length = headers.get("content-length", "")
        self._check_size(int(length) if length.isdecimal() else 0)
        return None

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_fetched_bytes:
            raise _FetchError(f"it has more than {self._limits.max_fetched_bytes} bytes")


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(_READ_BYTES))
    return event


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read only now
    except ValueError:
        raise _FetchError("it is no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise _FetchError("it is neither a data URL nor one of http or https")
    if "@" in parts.netloc:
        raise _FetchError("it holds a user's name; leave that away")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise _FetchError("it holds characters that a URL writes as %XX")
    return parts


def _cannot(path: str, reason: str) -> ApiError:
    return invalid(f"{path} cannot be fetched: {reason}", path, "invalid_image_url")


def not_fetched(path: str) -> ApiError:
    """Of a gateway that fetches none."""
    return unsupported(path, "this gateway fetches no pictures; send it as a data URL: data:image/png;base64,...")
