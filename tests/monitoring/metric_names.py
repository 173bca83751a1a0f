"""Which metrics queries ask for, and which ones pages offer."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterable

_QUOTED = re.compile(r'"[^"]*"')
_OURS = re.compile(r"(?<![\w:])(?:stream_omni[\w:]*|(?:nv|envoy|kube)_\w+|up|ALERTS)(?![\w:])")
_LABELS = {"envoy_cluster_name", "envoy_response_code_class"}
_OFFERED = re.compile(r"^(?:# TYPE )?([a-zA-Z_:][\w:]*)", re.MULTILINE)


def asked(queries: Iterable[str]) -> set[str]:
    return {name for query in queries for name in _OURS.findall(_QUOTED.sub('""', query))} - _LABELS


def offered(*addresses: str) -> set[str]:
    """On the pages http://``address``; of a histogram also the names of its parts."""
    names: set[str] = set()
    for address in addresses:
        with urllib.request.urlopen(f"http://{address}", timeout=60) as page:
            names.update(_OFFERED.findall(page.read().decode()))
    return names | {f"{name}{part}" for name in names for part in ("_bucket", "_sum", "_count")}
