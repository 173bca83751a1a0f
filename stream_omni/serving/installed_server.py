"""Which tritonserver there is: that of NVIDIA's image, that of the nvidia-pytriton wheel, or one on PATH."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CONTAINER = Path("/opt/tritonserver")  # where NVIDIA's images have it
_STUB = "triton_python_backend_stub"


class NoServerError(RuntimeError):
    """There is no tritonserver that could run our models. The message is meant for the operator."""


@dataclass(frozen=True)
class InstalledServer:
    """``backends``: the directory that holds the Python backend; ``sees_gpus``: whether it can measure them."""

    binary: Path
    backends: Path
    sees_gpus: bool = False


def find_server(scratch: Path) -> InstalledServer:
    """NVIDIA's image comes first: there the wheel's older server, if somebody installed it, could load no engine of the
    image's TensorRT. Raises NoServerError."""
    if (CONTAINER / "bin" / "tritonserver").is_file():
        return _with_its_backends(CONTAINER / "bin" / "tritonserver", sees_gpus=True)
    wheel = find_spec("pytriton")
    if wheel is not None and wheel.submodule_search_locations:
        return _of_wheel(Path(wheel.submodule_search_locations[0]) / "tritonserver", scratch)
    found = shutil.which("tritonserver")
    if found is None:
        raise NoServerError(
            "no tritonserver: install the extra `server` (pip install 'stream-omni[server]'), have one on PATH, or use "
            f"an image with {CONTAINER}"
        )
    return _with_its_backends(Path(found).resolve(), sees_gpus=False)


def _with_its_backends(binary: Path, sees_gpus: bool) -> InstalledServer:
    backends = binary.parent.parent / "backends"
    if not (backends / "python" / _STUB).exists():
        raise NoServerError(f"the tritonserver at {binary} has no Python backend ({backends / 'python' / _STUB})")
    return InstalledServer(binary, backends, sees_gpus)


def _of_wheel(home: Path, scratch: Path) -> InstalledServer:
    stub = home / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / _STUB
    if not stub.exists():
        raise NoServerError(f"the nvidia-pytriton wheel has no Python backend for this Python ({stub.parent.name})")
    python = scratch / "backends" / "python"
    python.mkdir(parents=True)
    # Links, not copies: the libraries find their neighbours in the wheel by the real path.
    for file in (*(home / "backends" / "python").iterdir(), stub):
        if file.is_file():
            (python / file.name).symlink_to(file)
    return InstalledServer(home / "bin" / "tritonserver", python.parent)
