"""What the repository holds of a training: the checkpoint, the graphs that fit it, and the record of how it was made.

The graphs come without their weights, which `stream-omni build --graphs` writes from the checkpoint: each value is
shipped once.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from stream_omni_build.build import Sources, build
from stream_omni_build.progress import Progress
from stream_omni_build.ready_graphs import ready_files
from stream_omni_build.repository import find_profile

from stream_omni.model_info import ModelInfo
from stream_omni_demo.checkpoint.folders import Folders
from stream_omni_demo.pipeline import RECORD, Workshop, read_record

LARGEST_MB = 40.0
GRAPHS = "graphs"
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "tokenizers")


class TooLargeError(RuntimeError):
    """A repository is no place for it."""


def ship(folders: Folders, scratch: Path, out: Path, say: Callable[[str], None]) -> None:
    """Replace checkpoint and graphs in ``out``; what else is there, such as cards, stays. ``scratch`` is built in.

    Raises TooLargeError, and what :func:`stream_omni_build.build.build` raises.
    """
    build(Sources(folders.language, folders.cosyvoice), find_profile("cpu"), scratch, Progress(say))
    info = ModelInfo.load(scratch / "assets" / "model.json")
    to = Folders.within(out)
    for source, target in ((folders.language, to.language), (folders.cosyvoice, to.cosyvoice)):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    shutil.rmtree(out / GRAPHS, ignore_errors=True)
    (out / GRAPHS).mkdir()
    for name in ready_files(info):
        shutil.copyfile(scratch / "graphs" / name, out / GRAPHS / name)
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    if megabytes > LARGEST_MB:
        raise TooLargeError(f"{out} has {megabytes:.1f} MB, and at most {LARGEST_MB:g} may be shipped")
    say(f"{out}: {megabytes:.1f} MB")


def write_record(workshop: Workshop, out: Path) -> None:
    """``out``/training.json: the amounts, what each stage took and measured, and what it ran on."""
    content = {
        "plan": dataclasses.asdict(workshop.plan),
        "packages": {name: version(name) for name in _PACKAGES},
        "stages": read_record(workshop.folder),
    }
    (out / RECORD).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
