"""What the operator asked for to keep strangers out: tritonserver's flags for it, and the way in for the launcher."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from stream_omni.serving import api_keys
from stream_omni.serving.api_keys import KeyFileError, read_keys

_CONNECT_S = 5.0


class SecurityError(ValueError):
    """A file that cannot serve. The message is meant for the operator."""


@dataclass(frozen=True)
class ServerTls:
    """PEM files. ``client_ca``: who signs clients' certificates, which are then demanded (mutual TLS). The launcher is
    a client, too: where ``client_ca`` did not sign ``cert``, it needs ``probe_cert`` and its key."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    probe_cert: Path | None = None
    probe_key: Path | None = None

    def check(self) -> None:
        """Raises SecurityError."""
        _check_pair(self.cert, self.key)
        if (self.probe_cert is None) != (self.probe_key is None):
            raise SecurityError("a certificate for the first question needs its key, and the key its certificate")
        if self.probe_cert is not None and self.probe_key is not None:
            _check_pair(self.probe_cert, self.probe_key)
        if self.client_ca is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self.client_ca)
            except OSError as error:
                raise SecurityError(f"{self.client_ca} holds no certificate of a client CA: {error}") from error

    def arguments(self) -> list[str]:
        """Of tritonserver."""
        files = [f"--grpc-server-cert={self.cert.resolve()}", f"--grpc-server-key={self.key.resolve()}"]
        if self.client_ca is None:
            return ["--grpc-use-ssl=true", *files]
        return [
            "--grpc-use-ssl=true",
            "--grpc-use-ssl-mutual=true",
            *files,
            f"--grpc-root-cert={self.client_ca.resolve()}",
        ]

    def client_options(self, url: str) -> dict[str, Any]:
        """For tritonclient, to this very server at ``url``: it trusts the server's own certificate and nobody else's,
        under whatever name stands in it. Raises OSError."""
        cert, key = self.probe_cert or self.cert, self.probe_key or self.key
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.cert.read_bytes(),
            private_key=key.read_bytes() if self.client_ca else None,
            certificate_chain=cert.read_bytes() if self.client_ca else None,
        )
        name = [("grpc.ssl_target_name_override", _name_in_certificate(url, self.cert))]
        return {"ssl": True, "creds": credentials, "channel_args": name}


@dataclass(frozen=True)
class Security:
    """``api_keys``: the file of those who are let in; None: everybody is. ``tls`` None: whoever is on the way can read
    along."""

    api_keys: Path | None = None
    tls: ServerTls | None = None

    def check(self) -> None:
        """Raises SecurityError."""
        if self.api_keys is not None:
            try:
                read_keys(self.api_keys)
            except KeyFileError as error:
                raise SecurityError(str(error)) from error
        if self.tls is not None:
            self.tls.check()

    @property
    def headers(self) -> tuple[str, ...]:
        """That models must get to see."""
        return (api_keys.HEADER,) if self.api_keys else ()

    def arguments(self) -> list[str]:
        """Of tritonserver."""
        return self.tls.arguments() if self.tls else []

    def environment(self) -> Mapping[str, str]:
        """Of tritonserver. Set in any case: what stood in the launcher's own would be half a setting."""
        return {api_keys.ENVIRONMENT: str(self.api_keys.resolve()) if self.api_keys else ""}

    def client_options(self, url: str) -> dict[str, Any]:
        """For ``tritonclient.grpc.InferenceServerClient(url, **options)`` from this machine. Raises OSError."""
        return self.tls.client_options(url) if self.tls else {}


EVERYBODY = Security()


def _check_pair(cert: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise SecurityError(f"{cert} and {key} are no PEM certificate and its key: {error}") from error


def _name_in_certificate(url: str, cert: Path) -> str:
    """A name or address that the certificate of the server at ``url`` is for. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # this certificate itself, whoever signed it
    context.set_alpn_protocols(["h2"])
    host, _, port = url.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=_CONNECT_S) as connection,
        context.wrap_socket(connection) as door,
    ):
        certificate: Mapping[str, Any] = door.getpeercert() or {}
    for _, name in certificate.get("subjectAltName", ()):
        return str(name).replace("*", "stream-omni")
    raise OSError("the server's certificate names nobody (subjectAltName)")
