"""`make test-gpu` runs in NVIDIA's image, and there with NVIDIA's packages: the Makefile's lines, without a GPU."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.build.image.instructions import ROOT
from tests.gpu import conftest as gpu_tests


def lines_of(home: Path, *words: str) -> list[str]:
    """What `make test-gpu` would run, its environment included."""
    command = ["make", "--no-print-directory", "-n", "test-gpu", f"VENV={home}", f"PYTHON={sys.executable}", *words]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return printed.replace("\\\n", "").splitlines()


def test_its_environment_sees_the_packages_of_the_machine(tmp_path: Path) -> None:
    environment, constraints, install, *_, tests = lines_of(tmp_path)
    assert shlex.split(environment)[1:3] == ["-m", "venv"]
    subprocess.run(shlex.split(environment), check=True)
    settings = (tmp_path / "gpu" / "pyvenv.cfg").read_text(encoding="utf-8")
    assert "include-system-site-packages = true" in settings
    assert tests.startswith(f"{tmp_path}/gpu/bin/python3 -m pytest ")
    subprocess.run(constraints, shell=True, cwd=ROOT, check=True)
    kept = (tmp_path / "gpu" / "constraints.txt").read_text(encoding="utf-8").split()
    assert {f"{name}=={version(name)}" for name in ("numpy", "torch")} < set(kept)  # pip replaces nothing that is there
    assert not any(line.startswith("pytest==") for line in kept)
    assert f"--python {tmp_path}/gpu/bin/python3 install " in install
    assert f"-c {tmp_path}/gpu/constraints.txt" in install
    assert extras_of(install) == "container"


def extras_of(install: str) -> str:
    chosen = install.partition(" -m pip ")[0].rpartition(";")[0]
    return subprocess.run(
        f"{chosen}; echo $extras", shell=True, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_ours_is_taken_where_the_machine_has_no_pytorch(tmp_path: Path) -> None:
    _, constraints, install, *_ = lines_of(tmp_path, f"PYTHON={sys.executable} -I -S")
    (tmp_path / "gpu").mkdir()
    subprocess.run(constraints, shell=True, cwd=ROOT, check=True)
    assert (tmp_path / "gpu" / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()
    assert extras_of(install) == "container,build"


@pytest.mark.parametrize(
    ("part", "tests"),
    [
        ("torch", "tests/gpu/test_torch.py"),
        ("engines", "tests/gpu/test_engines.py"),
        ("whole", "tests/gpu/test_engines.py -k 'not stage'"),
        ("", "tests/gpu"),
    ],
)
def test_what_a_part_runs(part: str, tests: str, tmp_path: Path) -> None:
    assert lines_of(tmp_path, f"PART={part}")[-1] == f"{tmp_path}/gpu/bin/python3 -m pytest -m gpu -rs {tests}"
    assert (ROOT / shlex.split(tests)[0]).exists()


def imported_for(stage: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The engines' tests, as they are imported for a stage's part."""
    setting, *words = shlex.split(lines_of(Path("/nowhere"), f"PART={stage}")[-1])
    assert words[-3:] == ["tests/gpu/test_engines.py", "-k", "stage"]
    monkeypatch.setenv(*setting.split("="))
    spec = spec_from_file_location("of_one_part", ROOT / "tests" / "gpu" / "test_engines.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_part_is_one_stage_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = imported_for("vocoder", monkeypatch)
    chosen = {name: test for name, test in vars(module).items() if name.startswith("test_") and "stage" in name}
    assert len(chosen) == 3
    marks = [mark for test in chosen.values() for mark in test.pytestmark]
    assert [mark.args for mark in marks if mark.name == "parametrize"] == [("stage", ["vocoder"])] * 2
    assert [mark.args for mark in marks if mark.name == "skipif"] == [(True,)]  # of TensorRT-LLM
    assert imported_for("tensorrt-llm", monkeypatch).PLANS == []
    with pytest.raises(pytest.UsageError, match="there is no stage vocodr: vision_encoder, "):
        imported_for("vocodr", monkeypatch)


def test_a_gpu_without_tensorrt_fails_with_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a skip would let nobody see that no engine was ever tried."""
    monkeypatch.setattr(gpu_tests, "find_spec", lambda name: None if name == "tensorrt" else object())
    with pytest.raises(pytest.fail.Exception, match=r"there is a GPU, but no tensorrt: docs/production\.md"):
        gpu_tests.require_tensorrt()
    monkeypatch.setattr(gpu_tests, "find_spec", lambda name: object())
    gpu_tests.require_tensorrt()


def test_the_recipe_is_the_images_own_base_with_this_checkout() -> None:
    page = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    recipe = page.partition("### The GPU's own tests")[2].partition("```")[2].partition("```")[0]
    dockerfile = (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG TRITON_IMAGE=(\S+)", dockerfile, flags=re.M)
    assert f'"{base}$TRITON_DIGEST"' in recipe and "--gpus all" in recipe and "make test-gpu" in recipe
    assert "-e STREAM_OMNI_GPU_WORK=" in recipe  # else what was built goes with the container
