"""A CA and what it signed, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    cert: Path
    key: Path


class Authority:
    """Of clients and servers alike; its certificates are for both uses."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._authority = folder, trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def sign(self, name: str) -> Pair:
        made = self._authority.issue_cert(name)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(str(pair.cert))
        made.private_key_pem.write_to_path(str(pair.key))
        return pair
