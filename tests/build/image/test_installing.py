"""What the images' RUN lines install, without Docker: the wheel from what is copied, and everything that it needs in
the versions of constraints.txt (`make test-images`, which asks the package index)."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.build.image.instructions import ROOT, Target, read_targets
from tests.build.test_packaging import output_of

# of the base images: python:3.11-slim-bookworm, and that of NVIDIA's image
PYTHON_OF = {"gateway": "3.11", "cpu": "3.11", "server": "3.12"}
GLIBC_MINOR = 36  # of Debian 12 (NVIDIA's Ubuntu 24.04 has 39): wheels for that or less can be installed there
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR, 4, -1)] + ["manylinux2014_x86_64"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the target `wheel` makes it: its files alone, and its last command."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    target = read_targets()["wheel"]
    for *names, place in target.copies:
        for name in names:
            copy(ROOT / name, source / place)
    words = shlex.split(target.runs[-1])
    assert words[:5] == ["python", "-m", "hatchling", "build", "-t"] and words[-2:] == ["-d", "/wheels"]
    subprocess.run([sys.executable, *words[1:-1], out], cwd=source, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's content, or a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_the_wheel_of_what_is_copied_is_the_whole_one(wheel: Path, tmp_path: Path) -> None:
    output_of("hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (whole,) = tmp_path.glob("*.whl")
    assert set(zipfile.ZipFile(wheel).namelist()) == set(zipfile.ZipFile(whole).namelist())


def requirement(target: Target) -> str:
    (found,) = re.findall(r'"(stream-omni\[[\w,]+\]) @ file://\$1"', " ".join(target.runs))
    return found


def resolve(python: str, scratch: Path, *wanted: str) -> dict[str, str]:
    """What pip would install on that Python, by its own resolver: name, as pip compares names, to version."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    report = scratch / "report.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report),
            *("--target", scratch / "target", "--only-binary", ":all:", "--python-version", python, *platforms),
            *("--constraint", ROOT / "constraints.txt", *wanted),
        ],
        check=True,
    )
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {normal(item["metadata"]["name"]): item["metadata"]["version"] for item in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {normal(name): version.split()[0] for name, _, version in pairs}


@pytest.mark.images
@pytest.mark.parametrize("name", PYTHON_OF)
def test_what_an_image_installs_is_there_in_our_versions(name: str, wheel: Path, tmp_path: Path) -> None:
    """Of the server's image: all that it would need if NVIDIA's had nothing."""
    found = resolve(PYTHON_OF[name], tmp_path, f"{requirement(read_targets()[name])} @ file://{wheel}")
    assert found.pop("stream-omni")
    assert len(found) > 10
    assert {package: version for package, version in found.items() if pinned().get(package) != version} == {}


@pytest.mark.images
def test_a_version_that_is_not_there_is_seen(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        resolve("3.11", tmp_path, "hatchling==0.0.1")


@pytest.mark.images
def test_what_builds_the_wheel_is_there(tmp_path: Path) -> None:
    first = read_targets()["wheel"].runs[0]
    assert first.endswith("-c constraints.txt hatchling")
    found = resolve("3.11", tmp_path, "hatchling")
    assert found["hatchling"] == pinned()["hatchling"]
    assert found.keys() <= pinned().keys()
