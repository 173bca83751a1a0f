"""What the package promises as a whole: light, independent, documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import stream_omni_client

PACKAGE = Path(stream_omni_client.__file__).parent
ALLOWED = {"numpy", "tritonclient", "grpc", "soundfile", "stream_omni_client"}
OPTIONAL = {("sound_device.py", "sounddevice"), ("image.py", "PIL")}  # used where they are there


def test_importing_is_quick_and_brings_no_server() -> None:
    script = "import stream_omni_client, sys; print(*sys.modules)"
    assert min(cpu_seconds_of(script) for _ in range(3)) < 0.5
    loaded = set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )
    assert "stream_omni_client.client" in loaded
    assert not loaded & {"torch", "onnxruntime", "grpc", "stream_omni", "stream_omni_build", "sounddevice", "PIL"}


def cpu_seconds_of(script: str, python: Path | str = sys.executable) -> float:
    """Of the processor, not of the clock: the machine has other work too."""
    timed = f"import time; began = time.process_time()\n{script}\nprint(time.process_time() - began)"
    output = subprocess.run([python, "-c", timed], check=True, capture_output=True, text=True).stdout
    return float(output.splitlines()[-1])


def test_it_depends_on_three_packages_only() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top = name.partition(".")[0]
                known = top in ALLOWED or top in sys.stdlib_module_names or (path.name, top) in OPTIONAL
                assert known, f"{path.name} imports {name}"


@pytest.mark.parametrize("name", stream_omni_client.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(stream_omni_client, name)
    if not inspect.isclass(thing):
        return  # Event is a union of documented classes
    assert (thing.__doc__ or "").strip() and not (thing.__doc__ or "").startswith(f"{name}("), name
    for member, value in vars(thing).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert (value.__doc__ or "").strip(), f"{name}.{member}"


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
