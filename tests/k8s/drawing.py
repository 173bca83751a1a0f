"""The picture of a load step: what was asked for, how many replicas there were, and what became of the turns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "stream-omni"
mpl.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot as plt  # noqa: E402 (the backend is chosen first)
from matplotlib.axes import Axes  # noqa: E402


def draw(looks: Sequence[Mapping[str, Any]], moments_s: Mapping[str, float], speed: float, folder: Path) -> Path:
    """Writes ``folder``/autoscaling.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, (load, replicas, turns) = plt.subplots(
        3, 1, figsize=(8.4, 6.6), layout="constrained", sharex=True, height_ratios=(3, 2, 2)
    )
    _draw_load(load, looks)
    _draw_replicas(replicas, looks)
    _draw_turns(turns, looks)
    for axes in (load, replicas, turns):
        for at_s in moments_s.values():
            axes.axvline(at_s, color="grey", lw=0.6, ls=":")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for name, at_s in moments_s.items():
        load.text(at_s, load.get_ylim()[1], f" {name}", rotation=30, fontsize=6.5, va="bottom")
    turns.set_xlabel("seconds")
    note = (
        f"real servers of a tiny random model, Envoy and Prometheus on {os.cpu_count()} CPU cores; Kubernetes' "
        f"algorithm, its windows and periods and the scrapes {speed:g} times as fast"
    )
    figure.supxlabel(note, fontsize=6.5, color="grey", x=0.99, ha="right")
    path = folder / "autoscaling.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _draw_load(axes: Axes, looks: Sequence[Mapping[str, Any]]) -> None:
    seconds = [look["seconds"] for look in looks]
    pods = sorted({pod for look in looks for pod in look["demand"]})
    shares = [[look["demand"].get(pod, 0.0) for look in looks] for pod in pods]
    axes.stackplot(seconds, shares, labels=[f"streams of {pod}" for pod in pods], alpha=0.5, step="post")
    axes.step(seconds, [look["users"] for look in looks], "k--", where="post", lw=1, label="users that ask")
    axes.set_ylabel("running and waiting")


def _draw_replicas(axes: Axes, looks: Sequence[Mapping[str, Any]]) -> None:
    seconds = [look["seconds"] for look in looks]
    axes.step(seconds, [look["wanted"] for look in looks], where="post", lw=2, label="ordered")
    axes.step(seconds, [look["ready"] for look in looks], where="post", lw=1.2, ls="--", label="ready")
    axes.step(seconds, [look["ending"] for look in looks], where="post", lw=1, label="finishing their turns")
    axes.step(
        seconds, [look["keda"] for look in looks], ":", where="post", lw=1, color="grey", label="KEDA would order"
    )
    axes.set_ylabel("replicas")


def _draw_turns(axes: Axes, looks: Sequence[Mapping[str, Any]]) -> None:
    seconds = [look["seconds"] for look in looks]
    for ending in ("done", "refused", "dropped"):
        axes.plot(seconds, [look[ending] for look in looks], lw=1.2, label=f"turns {ending}")
    axes.set_ylabel("turns so far")
