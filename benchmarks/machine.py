"""What a number was measured on: the machine, the commit, the command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PACKAGES = ("onnxruntime", "torch", "numpy", "nvidia-pytriton", "tritonclient")


def describe_machine() -> dict[str, Any]:
    processor = _first_line(Path("/proc/cpuinfo"), "model name") or platform.processor()
    memory_kb = _first_line(Path("/proc/meminfo"), "MemTotal").split()[0]
    flags = _first_line(Path("/proc/cpuinfo"), "flags").split()
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "vector_units": [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_tile") if flag in flags],
        "memory_gb": round(int(memory_kb) / 1e6, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_before": os.getloadavg()[0],  # above about 0.2 something else was running
    }


def describe_commit() -> dict[str, Any]:
    """``changed`` lists tracked files that differ from the commit: with any, a number belongs to no commit."""
    but_results = ("--", ".", ":!benchmarks/results")
    changed = _git("status", "--porcelain", "--untracked-files=no", *but_results).splitlines()
    return {"commit": _git("rev-parse", "HEAD"), "changed": [line[3:] for line in changed]}


def command_line() -> str:
    return " ".join(["python", "-m", "benchmarks", *sys.argv[1:]])


def _git(*arguments: str) -> str:
    git = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.rstrip()  # noqa: S603


def _first_line(path: Path, key: str) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
