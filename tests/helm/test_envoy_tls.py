"""Envoy with certificates: between real ends that demand them, and when they are renewed."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import pytest
import trustme

from tests.helm.cases import CASES
from tests.helm.test_envoy import METHOD, edge, issued, mount, until

pytestmark = pytest.mark.k8s

_SERVICE = "talk-stream-omni-server-headless.speech.svc"  # whom Envoy expects behind the address


def _server_tls(authority: trustme.CA, name: str) -> grpc.ServerCredentials:
    """Lets in who shows a certificate of the authority."""
    own = issued(authority, name)
    return grpc.ssl_server_credentials([(own["tls.key"], own["tls.crt"])], own["ca.crt"], require_client_auth=True)


def _channel(door: str, authority: trustme.CA, client: str | None) -> grpc.Channel:
    shown = issued(authority, client) if client else {}
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), shown.get("tls.key"), shown.get("tls.crt"))
    return grpc.secure_channel(door, credentials, [("grpc.ssl_target_name_override", "localhost")])


def _ask(channel: grpc.Channel) -> bytes:
    return bytes(next(channel.stream_stream(METHOD)(iter([b"hello"]), timeout=20)))


def test_turns_pass_with_mutual_tls_on_both_sides_and_nobody_without_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    server_tls = _server_tls(authority, _SERVICE)
    with edge(tmp_path, CASES["mutual"], authority, server_tls) as (door, _, _, turns):
        with _channel(door, authority, "caller") as known:
            assert _ask(known) == b"hello"
        for stranger in (_channel(door, authority, None), grpc.insecure_channel(door)):
            with stranger, pytest.raises(grpc.RpcError) as refused:
                _ask(stranger)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        turns.end.set()


def test_a_server_of_another_name_gets_no_turn(tmp_path: Path) -> None:
    authority = trustme.CA()
    server_tls = _server_tls(authority, "somebody.else.svc")
    with edge(tmp_path, CASES["mutual"], authority, server_tls) as (door, _, _, _):
        with _channel(door, authority, "caller") as known, pytest.raises(grpc.RpcError) as refused:
            _ask(known)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_renewed_certificate_counts_without_a_restart(tmp_path: Path) -> None:
    authority = trustme.CA()
    server_tls = _server_tls(authority, _SERVICE)
    with edge(tmp_path, CASES["mutual"], authority, server_tls) as (door, _, _, turns):
        host, _, port = door.rpartition(":")
        before = ssl.get_server_certificate((host, int(port)))
        with _channel(door, authority, "caller") as known:
            turn = known.stream_stream(METHOD)(iter([b"hello"]), timeout=60)
            assert next(turn) == b"hello"
            mount(tmp_path / "stream-omni" / "edge", issued(authority, "localhost"))
            until(lambda: ssl.get_server_certificate((host, int(port))) != before, 30)
            turns.end.set()
            assert list(turn) == [], "a turn was broken by the renewal"
