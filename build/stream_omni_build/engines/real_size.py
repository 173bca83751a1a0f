"""``make test-realsize``: every stage of a checkpoint of real size converted and exported, with its cost.

    python -m stream_omni_build.engines.real_size --work DIR

A stage at a time, each in a process of its own, whose peak memory is the kernel's count; a stage's files are removed
before the next one begins. The random checkpoint is the real one's in shapes and bytes (8b), or, where the disk is
small, has 2 of its LLM's 32 layers (8b-short).
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import onnx

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.graphs import graphs
from stream_omni_build.backbone import write_backbone
from stream_omni_build.deployment import read_deployment, shipped
from stream_omni_build.engines.engine_graph import write_engine_graph
from stream_omni_build.graph_options import with_units_alone
from stream_omni_build.progress import silent
from stream_omni_build.random_checkpoint import DEFAULT_SEED, write_random_checkpoint
from stream_omni_build.random_sizes import SIZES

MOST_BYTES = 6_000_000_000  # of memory, which the export may take


@dataclass(frozen=True)
class Cost:
    what: str
    precision: str
    seconds: float
    peak_bytes: int
    disk_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        metavar="DIR",
        help="holds the checkpoint and one stage's files, in DIR/real-size",
    )
    parser.add_argument("--size", choices=sorted(SIZES), help="default: 8b if DIR has room for it, else 8b-short")
    parser.add_argument("--profile", choices=shipped(), default="gpu-1", help="whose precisions (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="do not remove the checkpoint in the end")
    arguments = parser.parse_args(argv)
    work: Path = arguments.work / "real-size"  # DIR may hold other things, which stay
    work.mkdir(parents=True, exist_ok=True)
    size = arguments.size or _size_that_fits(work)
    try:
        costs = list(_measure(size, arguments.profile, work))
    finally:
        if not arguments.keep:
            shutil.rmtree(work)
    too_large = [cost for cost in costs if cost.peak_bytes > MOST_BYTES]
    for cost in too_large:
        print(
            f"{cost.what} took {cost.peak_bytes / 1e9:.1f} GB of memory, {MOST_BYTES / 1e9:.0f} are allowed",
            file=sys.stderr,
        )
    return 1 if too_large else 0


def _size_that_fits(folder: Path) -> str:
    return "8b" if shutil.disk_usage(folder).free > 45e9 else "8b-short"


def _measure(size: str, profile: str, work: Path) -> Iterator[Cost]:
    print(f"| {size}, profile {profile} | precision | time | peak memory | disk |\n|---|---|---|---|---|", flush=True)
    checkpoint = work / f"stream-omni-{size}", work / f"cosyvoice-{size}"
    yield _report(_apart(_make_checkpoint, size, work))
    yield _report(_apart(_convert, checkpoint, work / "backbone"))
    for stage in read_deployment(profile).stages.values():
        precision = stage.precision if stage.engine != "tensorrt-llm" else "bf16"
        for name in stage.graphs:
            yield _report(_apart(_export, name, precision, checkpoint, work / "graphs"))


def _apart(function, *arguments) -> Cost:  # type: ignore[no-untyped-def]  # of any of the three below
    """In a process of its own, whose peak memory is that of this work alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        cost: Cost = pool.submit(function, *arguments).result()
    return cost


def _make_checkpoint(size: str, work: Path) -> Cost:
    began_s = time.monotonic()
    folders = write_random_checkpoint(SIZES[size], work, DEFAULT_SEED)
    return Cost("random checkpoint", SIZES[size].dtype, time.monotonic() - began_s, _peak_bytes(), _size_of(*folders))


def _convert(checkpoint: tuple[Path, Path], folder: Path) -> Cost:
    began_s = time.monotonic()
    sources = open_sources(*checkpoint)
    write_backbone(read_model_info(*checkpoint), sources["model"], folder, silent())
    seconds, disk = time.monotonic() - began_s, _size_of(folder)
    shutil.rmtree(folder)
    return Cost("backbone", "as stored", seconds, _peak_bytes(), disk)


def _export(name: str, precision: str, checkpoint: tuple[Path, Path], folder: Path) -> Cost:
    began_s = time.monotonic()
    info = with_units_alone(read_model_info(*checkpoint), checkpoint[0], silent())  # as a build for GPUs has it
    path = write_engine_graph(graphs(info)[name], info, precision, open_sources(*checkpoint), folder, silent())
    seconds, peak, disk = time.monotonic() - began_s, _peak_bytes(), _size_of(folder)
    onnx.checker.check_model(str(path))
    shutil.rmtree(folder)
    return Cost(name, precision, seconds, peak, disk)


def _report(cost: Cost) -> Cost:
    memory, disk = cost.peak_bytes / 1e9, cost.disk_bytes / 1e9
    print(f"| {cost.what} | {cost.precision} | {cost.seconds:.0f} s | {memory:.2f} GB | {disk:.2f} GB |", flush=True)
    return cost


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _size_of(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
