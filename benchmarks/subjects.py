"""What is measured: a checkpoint, the directory built from it, and servers of that directory."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from stream_omni_build.build import Sources, build
from stream_omni_build.progress import Progress
from stream_omni_build.random_checkpoint import DEFAULT_SEED, RefusedError, write_random_checkpoint
from stream_omni_build.random_sizes import SIZES
from stream_omni_build.repository import find_profile
from tritonclient.grpc import model_config_pb2

from benchmarks.service import Service, serve
from stream_omni.serving.launcher import TritonServer

_SLOTS = re.compile(r'(key: "(?:slots|capacity)" value: \{ string_value: )"\d+"')


@dataclass(frozen=True)
class Subject:
    """``served`` is a built directory; ``checkpoint`` is None where only that was given. ``cache`` is for variants."""

    served: Path
    cache: Path
    checkpoint: Path | None = None

    @contextmanager
    def serve(self, slots: int) -> Iterator[TritonServer]:
        """A server of the same graphs and profile, but for ``slots`` turns at once. Its log stays in the cache."""
        variant, log = self._variant(slots)
        with log.open("w", encoding="utf-8") as file, TritonServer(variant, log=file) as server:
            yield server

    @contextmanager
    def supervise(self, slots: int) -> Iterator[Service]:
        """The same with its supervisor, as it is run for users."""
        with serve(*self._variant(slots)) as service:
            yield service

    def _variant(self, slots: int) -> tuple[Path, Path]:
        """What is to be served, and where its log goes."""
        variant = self.cache / f"{self.served.name}-{slots}-slots"
        with_slots(self.served, variant, slots)
        return variant, variant.with_name(f"{variant.name}.log")

    def parameter(self, model: str, name: str) -> Any:
        """A parameter of a served model's configuration, whose string is JSON."""
        path = self.served / "model_repository" / model / "config.pbtxt"
        config = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
        return json.loads(config.parameters[name].string_value)


def random_subject(size: str, cache: Path) -> Subject:
    """A random checkpoint, made and built in ``cache`` on first use, with the shipped profile for CPUs."""
    cache.mkdir(parents=True, exist_ok=True)
    try:
        checkpoint, cosyvoice = write_random_checkpoint(SIZES[size], cache, DEFAULT_SEED)
    except RefusedError:  # what an earlier version kept there
        for kept in cache.glob(f"*-{size}"):
            shutil.rmtree(kept)
        checkpoint, cosyvoice = write_random_checkpoint(SIZES[size], cache, DEFAULT_SEED)
    progress = Progress(lambda line: print(line, file=sys.stderr))
    served = cache / f"served-{size}"
    build(Sources(checkpoint, cosyvoice), find_profile("cpu"), served, progress)
    return Subject(served, cache, checkpoint)


def with_slots(served: Path, variant: Path, slots: int) -> None:
    """Make ``variant``, with links to the graphs and assets of ``served`` and its repository with ``slots`` slots."""
    shutil.rmtree(variant, ignore_errors=True)
    variant.mkdir(parents=True)
    for name in ("graphs", "assets", "manifest.json"):
        (variant / name).symlink_to((served / name).resolve())
    shutil.copytree(served / "model_repository", variant / "model_repository")
    changed = 0
    for config in variant.glob("model_repository/*/config.pbtxt"):
        text, count = _SLOTS.subn(rf'\g<1>"{slots}"', config.read_text(encoding="utf-8"))
        config.write_text(text, encoding="utf-8")
        changed += count
    if not changed:
        raise ValueError(f"no model of {served} has slots")
