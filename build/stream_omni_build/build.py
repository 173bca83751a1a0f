"""The steps of a build, from two checkpoint directories to a served one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.cosyvoice_checkpoint import VOICES, read_voices
from stream_omni.model_info import ModelInfo
from stream_omni_build import manifest
from stream_omni_build.assets import require_asset_files, write_assets
from stream_omni_build.graph_options import choose_graphs
from stream_omni_build.progress import Progress
from stream_omni_build.ready_graphs import check_interfaces, read_ready_plan, ready_files, take_ready_graphs
from stream_omni_build.repository import render_repository
from stream_omni_build.weight_plan import WeightPlan

UNFINISHED = "UNFINISHED"  # a file that marks a build in progress, or one that was interrupted


class OutError(ValueError):
    """The directory to build in holds something else."""


@dataclass(frozen=True)
class Sources:
    """What a build is made of. ``graphs``: a folder of graphs that an earlier build made, or None to make them."""

    checkpoint: Path
    cosyvoice: Path
    graphs: Path | None = None


def build(sources: Sources, profile: Path, out: Path, progress: Progress) -> None:
    """Bring ``out`` up to date. Without a manifest in it, it is not complete.

    Raises CheckpointError, ProfileError, GraphsError, ParityError, NoSpaceError or OutError.
    """
    checkpoint, cosyvoice = sources.checkpoint, sources.cosyvoice
    require_asset_files(checkpoint, cosyvoice)
    info = choose_graphs(read_model_info(checkpoint, cosyvoice), checkpoint, profile, progress)
    plan = read_ready_plan(sources.graphs, info) if sources.graphs else None
    before = manifest.read_manifest(out)
    require_own(out, before)
    with progress.step("read the checkpoint"):
        ready = [sources.graphs / name for name in ready_files(info)] if sources.graphs else []
        graph_inputs = manifest.graph_inputs(checkpoint, cosyvoice, ready, progress)
        inputs = {
            "graphs": graph_inputs | {"only_units": info.only_units, "screened_heads": info.screened_heads},
            "repository": manifest.repository_inputs(profile),
        }
    whole = before is not None and manifest.is_whole(out, before["files"])
    if before is not None and whole and before["inputs"] == inputs:
        progress.say("unchanged: nothing to build")
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / UNFINISHED).write_text("stream-omni build was interrupted here; run it again\n", encoding="utf-8")
    (out / manifest.NAME).unlink(missing_ok=True)
    assert info.flow is not None
    voices = list(read_voices(cosyvoice / VOICES, info.flow.speaker_size))
    with progress.step("render the model repository"):  # first, because a mistaken profile shows at once
        _clear(out, "model_repository")
        render_repository(profile, info, voices, out)
    if before is not None and whole and before["inputs"]["graphs"] == inputs["graphs"]:
        progress.say("unchanged: graphs and assets")
        parity = before["parity"]
    else:
        _clear(out, "graphs", "assets")
        if plan is None:
            parity = _make_graphs(sources, info, out, progress)
        else:
            parity = {}  # what their own build found is not known here
            _fill_graphs(sources, plan, info, out, progress)
    with progress.step("write the manifest"):
        (out / UNFINISHED).unlink()
        files = manifest.built_files(out)
        manifest.write_manifest(out, {"profile": profile.stem, "inputs": inputs, "parity": parity, "files": files})


def _make_graphs(sources: Sources, info: ModelInfo, out: Path, progress: Progress) -> dict[str, dict[str, Any]]:
    """From the networks. Returns what the comparison with them found."""
    # not at the top: who has graphs needs no PyTorch
    from stream_omni_build.export import write_graphs
    from stream_omni_build.graph_checks import check_graphs

    tensors = open_sources(sources.checkpoint, sources.cosyvoice)
    write_graphs(info, tensors, out, progress)
    with progress.step("write tokenizer, voices and speech tokenizer"):
        write_assets(sources.checkpoint, sources.cosyvoice, info, tensors["model"], out)
    return check_graphs(info, tensors, out, progress)


def _fill_graphs(sources: Sources, plan: WeightPlan, info: ModelInfo, out: Path, progress: Progress) -> None:
    """From graphs that are there already."""
    assert sources.graphs is not None
    tensors = open_sources(sources.checkpoint, sources.cosyvoice, plan.needed())
    for folder in ("graphs", "assets"):
        (out / folder).mkdir()
    take_ready_graphs(sources.graphs, info, out)
    plan.write(out / "graphs", tensors, progress)
    info.save(out / "assets" / "model.json")
    with progress.step("write tokenizer, voices and speech tokenizer"):
        write_assets(sources.checkpoint, sources.cosyvoice, info, tensors["model"], out)
    with progress.step("load every graph"):
        check_interfaces(info, out)


def require_own(out: Path, before: Mapping[str, Any] | None) -> None:
    """Nothing is removed from a directory that no build has made."""
    if before is None and out.is_dir() and any(out.iterdir()) and not (out / UNFINISHED).is_file():
        raise OutError(f"{out} holds other files: choose another --out, or empty it")


def _clear(out: Path, *folders: str) -> None:
    """Removed, not written over: a running server has the old files mapped into its memory."""
    for folder in folders:
        shutil.rmtree(out / folder, ignore_errors=True)
