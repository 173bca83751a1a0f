"""The steps of a build, from two checkpoint directories to a served one."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.cosyvoice_checkpoint import VOICES, read_voices
from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF, make_network
from stream_omni.networks.weights import TensorSource, load_weights
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.torch_runtime import TorchSession
from stream_omni_build import manifest
from stream_omni_build.assets import require_asset_files, write_assets
from stream_omni_build.export import write_graphs
from stream_omni_build.graph_options import choose_graphs
from stream_omni_build.parity import check_graph
from stream_omni_build.parity_cases import parity_cases
from stream_omni_build.progress import Progress
from stream_omni_build.repository import render_repository

_UNFINISHED = "UNFINISHED"  # a file that marks a build in progress, or one that was interrupted


class OutError(ValueError):
    """The directory to build in holds something else."""


def build(checkpoint: Path, cosyvoice: Path, profile: Path, out: Path, progress: Progress) -> None:
    """Bring ``out`` up to date. Without a manifest in it, it is not complete.

    Raises CheckpointError, ProfileError, ParityError, NoSpaceError or OutError.
    """
    require_asset_files(checkpoint, cosyvoice)
    info = choose_graphs(read_model_info(checkpoint, cosyvoice), checkpoint, profile, progress)
    before = manifest.read_manifest(out)
    _require_own(out, before)
    with progress.step("read the checkpoint"):
        inputs = {
            "graphs": manifest.graph_inputs(checkpoint, cosyvoice, progress) | {"only_units": info.only_units},
            "repository": manifest.repository_inputs(profile),
        }
    whole = before is not None and manifest.is_whole(out, before["files"])
    if before is not None and whole and before["inputs"] == inputs:
        progress.say("unchanged: nothing to build")
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / _UNFINISHED).write_text("stream-omni build was interrupted here; run it again\n", encoding="utf-8")
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
        parity = _build_graphs(checkpoint, cosyvoice, info, out, progress)
    with progress.step("write the manifest"):
        (out / _UNFINISHED).unlink()
        files = manifest.built_files(out)
        manifest.write_manifest(out, {"profile": profile.stem, "inputs": inputs, "parity": parity, "files": files})


def _build_graphs(
    checkpoint: Path, cosyvoice: Path, info: ModelInfo, out: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    _clear(out, "graphs", "assets")
    sources = open_sources(checkpoint, cosyvoice)
    write_graphs(info, sources, out, progress)
    with progress.step("write tokenizer, voices and speech tokenizer"):
        write_assets(checkpoint, cosyvoice, info, sources["model"], out)
    return check_graphs(info, sources, out, progress)


def check_graphs(
    info: ModelInfo, sources: Mapping[str, TensorSource], out: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Compare every graph in ``out`` with its network, one after the other, so that memory holds one only.

    Raises ParityError.
    """
    found = {}
    for name, graph in graphs(info).items():
        with progress.step(f"check {name}"):
            network = make_network(name, info)
            load_weights(network, sources[SOURCE_OF[name]])
            exported = OnnxRuntime(out).session(name)
            parity = check_graph(graph, TorchSession(graph, network), exported, parity_cases(graph, info))
        found[name] = dataclasses.asdict(parity)
    return found


def _require_own(out: Path, before: Mapping[str, Any] | None) -> None:
    """Nothing is removed from a directory that no build has made."""
    if before is None and out.is_dir() and any(out.iterdir()) and not (out / _UNFINISHED).is_file():
        raise OutError(f"{out} holds other files: choose another --out, or empty it")


def _clear(out: Path, *folders: str) -> None:
    """Removed, not written over: a running server has the old files mapped into its memory."""
    for folder in folders:
        shutil.rmtree(out / folder, ignore_errors=True)
