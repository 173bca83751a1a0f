"""Prometheus and promtool: those of the machine, or Debian's package, unpacked into the tests' cache without
being installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("STREAM_OMNI_TEST_CACHE", Path.home() / ".cache" / "stream-omni-tests"))
_PACKAGE = "prometheus"
_OLDEST = (2, 42)  # Debian 12's; what the rules and dashboards were tested with
_MEND = "install them (apt-get install prometheus), or name their folder in STREAM_OMNI_PROMETHEUS"


def folder(config: pytest.Config) -> Path:
    """Holds both programs. Fails where they cannot be had; a quick run (`make test`) skips where no Debian package
    can be."""
    for found in (_named(), _installed(), _CACHE / _PACKAGE / "usr" / "bin"):
        if found is not None and (found / "promtool").exists():
            _check(found)
            return found
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        give_up = pytest.skip if "not k8s" in config.option.markexpr else pytest.fail
        give_up(f"prometheus and promtool are not here, and neither is apt-get: {_MEND}")
    return _unpack()


def _named() -> Path | None:
    named = os.environ.get("STREAM_OMNI_PROMETHEUS")
    return Path(named) if named else None


def _installed() -> Path | None:
    promtool = shutil.which("promtool")
    return Path(promtool).parent if promtool and shutil.which("prometheus") else None


def _unpack() -> Path:
    """Once for all runs on a machine, whole or not at all."""
    draft = _CACHE / f"{_PACKAGE}-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    download = ["apt-get", "download", _PACKAGE]
    got = subprocess.run(download, cwd=draft, capture_output=True, text=True)
    if got.returncode and os.geteuid() == 0:  # an image without lists of packages
        subprocess.run(["apt-get", "update"], capture_output=True)
        got = subprocess.run(download, cwd=draft, capture_output=True, text=True)
    if got.returncode:
        shutil.rmtree(draft)
        pytest.fail(f"prometheus and promtool are not here, and apt-get cannot fetch them; {_MEND}:\n{got.stderr}")
    (package,) = draft.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, draft], check=True)
    package.unlink()
    place = _CACHE / _PACKAGE
    shutil.rmtree(place, ignore_errors=True)
    draft.rename(place)
    _check(place / "usr" / "bin")
    return place / "usr" / "bin"


def _check(found: Path) -> None:
    said = subprocess.run([found / "promtool", "--version"], capture_output=True, text=True, check=True)
    words = (said.stdout + said.stderr).split()  # Debian's says it on either
    version = tuple(int(part) for part in words[words.index("version") + 1].split("+")[0].split(".")[:2])
    assert version >= _OLDEST, f"{found / 'promtool'} is of version {version}, older than {_OLDEST}; {_MEND}"
