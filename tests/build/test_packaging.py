"""The folder "build", which tools like to skip, is linted, tested and shipped."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def output_of(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_ruff_and_mypy_read_the_build_package() -> None:
    assert str(ROOT / "build" / "stream_omni_build" / "main.py") in output_of("ruff", "check", "--show-files", ".")
    configuration = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    mypy = configuration.partition("[tool.mypy]")[2].partition("\n[")[0]
    assert '"build/stream_omni_build"' in mypy.partition("files =")[2].partition("\n")[0]


def test_pytest_collects_the_build_packages_tests() -> None:
    """From the top, as `make test` does."""
    collected = output_of("pytest", "--collect-only", "-q", "-k", "test_ruff_and_mypy_read_the_build_package")
    assert "tests/build/test_packaging.py" in collected


def test_the_wheel_holds_all_packages_and_the_model_repository(tmp_path: Path) -> None:
    output_of("hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    packages = ("stream_omni", "build/stream_omni_build", "client/stream_omni_client", "model_repository")
    tracked = subprocess.run(
        ["git", "ls-files", *packages], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        place = name.removeprefix("build/").removeprefix("client/")
        place = f"stream_omni_build/{place}" if name.startswith("model_repository/") else place
        assert place in shipped
    assert "stream_omni_build/profiles/cpu.toml" in shipped
    assert not [name for name in shipped if name.startswith(("tests/", "build/", "client/", "model_repository/"))]
