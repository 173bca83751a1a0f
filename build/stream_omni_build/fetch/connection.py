"""HTTP to one hub, with errors that say what to do."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import urlsplit

TIMEOUT_S = 30.0  # without a byte
TRIES = 5  # in a row without a new byte
_OF_THE_NETWORK = (ConnectionError, TimeoutError, ssl.SSLError)
_AGAIN = (408, 425, 429, 500, 502, 503, 504)  # what a hub answers when it is busy
_OFFLINE = (
    "the download needs the network (HTTPS_PROXY names a proxy, HF_ENDPOINT or MODELSCOPE_ENDPOINT a mirror). What has "
    "been downloaded is kept, and the next run goes on from there. For a machine without network, fetch on another one "
    "and copy the directory: there, `stream-omni fetch` verifies it without the network"
)


class FetchError(RuntimeError):
    """A checkpoint cannot be downloaded. The message is meant for the user."""


class InterruptedTransferError(OSError):
    """A transfer broke off; what came before is good."""


class Connection:
    """``endpoint``: http(s)://host[/path]. The ``token`` is shown to that host only, not to where it sends us on."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        if urlsplit(self.endpoint).scheme not in ("http", "https"):
            raise FetchError(f"{endpoint!r} is no address of a hub: it must begin with https://")
        self._opener = urllib.request.build_opener(_Redirects())

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    def read(self, url: str) -> bytes:
        """A small answer, whole."""

        def attempt() -> bytes:
            with self.open(url) as answer:
                return bytes(answer.read())

        return self.persist(attempt, lambda: 0)

    def open(self, url: str, first_byte: int = 0) -> Any:
        """The answer's body, from ``first_byte`` on if the host can; its ``status`` is then 206.

        Raises FetchError for what will not get better, InterruptedTransferError for what may.
        """
        headers = {"User-Agent": "stream-omni fetch", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if first_byte:
            headers["Range"] = f"bytes={first_byte}-"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (http or https: see above)
        try:
            return self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error, url) from error
        except (OSError, http.client.HTTPException) as error:
            raise InterruptedTransferError(str(getattr(error, "reason", error))) from error

    def persist(self, attempt: Callable[[], Any], progress: Callable[[], int]) -> Any:
        """``attempt`` again while it breaks off, with growing pauses; ``progress`` is what it has reached.

        Raises FetchError after TRIES times without any.
        """
        failures, reached = 0, progress()
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno is not None and not isinstance(error, _OF_THE_NETWORK):
                    raise  # of the disk
                failures = 1 if progress() > reached else failures + 1
                reached = progress()
                if failures >= TRIES:
                    raise FetchError(f"{self.host} cannot be reached ({error}): {_OFFLINE}") from error
                time.sleep(2.0 ** (failures - 2))

    def _refused(self, error: urllib.error.HTTPError, url: str) -> Exception:
        if error.code in _AGAIN:
            return InterruptedTransferError(f"it answered {error.code} {error.reason}")
        path = urlsplit(url).path
        if error.code in (401, 403):
            return FetchError(
                f"{self.host} lets nobody read {path} without access ({error.code}): accept the model's terms on its "
                "page, and set HF_TOKEN or MODELSCOPE_API_TOKEN to a token of yours"
            )
        what = f"{self.host} has no {path} ({error.code} {error.reason})"
        return FetchError(f"{what}: is the repository, or its revision, the right one?")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Large files lie on other hosts, which our token is none of the business of."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            following.remove_header("Authorization")
        return following
