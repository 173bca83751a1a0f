"""What lets a client in: arguments first, then the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_omni_client import InvalidRequest, StreamOmni, Tls
from stream_omni_client.access import choose_metadata, choose_tls
from stream_omni_client.settings import choose_settings


def test_the_key_of_the_argument_goes_before_that_of_the_environment() -> None:
    environment = {"STREAM_OMNI_API_KEY": "so_environment"}
    assert choose_metadata("so_argument", environment) == (("authorization", "Bearer so_argument"),)
    assert choose_metadata(None, environment) == (("authorization", "Bearer so_environment"),)
    assert choose_metadata(None, {}) == choose_metadata("", {}) == ()


def test_a_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    environment = {"STREAM_OMNI_API_KEY_FILE": str(file)}
    with pytest.raises(FileNotFoundError):
        choose_metadata(None, environment)
    file.write_text("so_file\n")  # as `stream-omni keys make > key` writes it
    assert choose_metadata(None, environment) == (("authorization", "Bearer so_file"),)
    both = environment | {"STREAM_OMNI_API_KEY": "so_environment"}
    assert choose_metadata(None, both) == (("authorization", "Bearer so_environment"),)
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidRequest, match="STREAM_OMNI_API_KEY_FILE"):
        choose_metadata(None, environment)


@pytest.mark.parametrize("key", ["two words", "line\n", "schlüssel", "\0"])
def test_a_key_that_no_header_holds_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="characters that no key has"):
        StreamOmni("localhost:1", api_key=key)


def test_tls_is_what_is_said_or_what_the_environment_says() -> None:
    environment = {"STREAM_OMNI_TLS_CA": "ca.pem", "STREAM_OMNI_TLS_CERT": "c.pem", "STREAM_OMNI_TLS_KEY": "k.pem"}
    assert choose_tls(None, environment) == Tls("ca.pem", "c.pem", "k.pem")
    assert choose_tls(False, environment) is None
    assert choose_tls(True, environment) == Tls()
    assert choose_tls(Tls("other.pem"), environment) == Tls("other.pem")
    assert choose_tls(None, {"STREAM_OMNI_TLS_CA": ""}) is None


def test_the_server_is_the_argument_s_or_the_environment_s() -> None:
    def url(argument: str | None, **environment: str) -> str:
        return choose_settings(argument, None, None, 1, 1, 0, environment).url

    assert url("a:1", STREAM_OMNI_URL="b:2") == "a:1"
    assert url(None, STREAM_OMNI_URL="b:2") == "b:2"
    assert url(None, STREAM_OMNI_URL="") == url(None) == "localhost:8001"
    with pytest.raises(InvalidRequest, match="give host:port"):
        url(None, STREAM_OMNI_URL="http://b:2")


def test_half_a_pair_is_refused_and_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="needs its key"):
        Tls(cert="c.pem")
    with pytest.raises(FileNotFoundError):
        StreamOmni("localhost:1", tls=Tls(tmp_path / "none.pem"))


def test_the_key_reaches_the_server(protocol_url: str) -> None:
    """Of a server that asks for none, and is told one all the same."""
    with StreamOmni(protocol_url, api_key="so_unasked") as client:
        assert client.chat("hello").text
