"""Streamed against offline speech, of the same units, seed and voice, over chunk schedules.

What may differ has three causes, measured apart: where units are placed in time (the reference stretches an utterance's
edges, which a stream cannot know); that the flow sees a window instead of the whole; that the vocoder does.

Weights: the recorded cases' and a random tiny checkpoint, whose flows make little but noise, so that they prove seams
in the arithmetic; and the exact flow of a made-up speech (:mod:`benchmarks.ideal_flow`), which alone can tell
what a schedule does to the mel, and is measured there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stream_omni_build.random_checkpoint import DEFAULT_SEED, write_random_checkpoint
from stream_omni_build.random_sizes import SIZES
from stream_omni_eval.seams import (
    Changes,
    FloatArray,
    SeamValues,
    compare_seams,
    distance_db,
    level_db,
    log_mel_db,
)

from benchmarks import ideal_flow
from benchmarks.ideal_flow import IdealFlow
from benchmarks.machine import ROOT
from benchmarks.results import Values, record
from benchmarks.streamed_speech import Streamed, Voice, flow_at_once, speak_at_once, stream, vocode_at_once
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.cosyvoice_checkpoint import read_cosyvoice
from stream_omni.runtime.torch_runtime import TorchRuntime

FIXTURES = ROOT / "tests" / "fixtures"
_DB = 20 / np.log(10)  # of the natural logarithm that a mel is in
_EDGE_SAMPLES = 1024  # 46 ms at either end
_EACH, _LENGTH = 2, 130  # utterances of a kind, and their units


@dataclass(frozen=True)
class Utterance:
    units: Sequence[int]
    seed: int


@dataclass(frozen=True)
class Setting:
    """A schedule, and whether the flow is told its settled frames."""

    schedule: ChunkSchedule
    conditioned: bool = True

    def as_json(self) -> Values:
        return {**asdict(self.schedule), "conditioned": self.conditioned}


def varied() -> list[Setting]:
    """The default, and one thing changed at a time."""
    changes: list[dict[str, Any]] = [{}]
    changes += [{"first_units": n} for n in (3, 4, 8, 10, 15, 25)]
    changes += [{"lookahead_units": n, "fade_frames": f} for n, f in ((6, 0), (7, 4), (8, 8), (9, 8), (12, 8), (15, 8))]
    changes += [{"context_units": n} for n in (6, 15, 25)]
    changes += [{"fade_frames": n} for n in (0, 2, 4)]
    changes += [{"growth": g} for g in (1.0, 1.5)]
    return [Setting(replace(ChunkSchedule(), **change), told) for change in changes for told in (True, False)]


def at_random(count: int) -> list[Setting]:
    generator, found = np.random.default_rng(8), []
    for _ in range(count):
        first, lookahead = int(generator.integers(3, 26)), int(generator.integers(7, 16))
        schedule = ChunkSchedule(
            first_units=first,
            growth=float(generator.uniform(1, 2)),
            largest_units=max(first, int(generator.integers(10, 80))),
            context_units=int(generator.integers(6, 40)),
            lookahead_units=lookahead,
            fade_frames=int(generator.integers(0, min(12, int(3.44 * lookahead) - 20) + 1)),
        )
        found.append(Setting(schedule))
    return found


def fixture_voice(cache: Path) -> Voice:
    out = cache / "fixtures"
    if not (out / "complete").exists():
        script = [sys.executable, str(FIXTURES / "make_checkpoint.py"), "--seed", "11", "--out", str(out)]
        subprocess.run(script, check=True)  # noqa: S603
        (out / "complete").touch()
    return _voice(out / "stream-omni-tiny", out / "cosyvoice-tiny")


def random_voice(cache: Path) -> Voice:
    return _voice(*write_random_checkpoint(SIZES["tiny"], cache, DEFAULT_SEED))


def ideal_voice(random: Voice) -> Voice:
    """The ideal flow with a random voice's vocoder."""
    assert random.info.flow is not None
    flow = replace(random.info.flow, guidance_rate=0.0, units=ideal_flow.UNITS)
    runtime = IdealFlow({name: random.runtime.session(name) for name in ("f0_predictor", "vocoder")}, random.info)
    return Voice(runtime, replace(random.info, flow=flow), random.speaker)


def _voice(checkpoint: Path, cosyvoice: Path) -> Voice:
    runtime = TorchRuntime(checkpoint, cosyvoice)
    return Voice(runtime, runtime.info, next(iter(read_cosyvoice(cosyvoice)[2].values())))


def utterances(kinds: Sequence[str], unit_count: int, each: int, length: int = _LENGTH) -> list[Utterance]:
    """``kinds``: "random"; "held", each unit for 80 to 200 ms as sounds of speech are; "recorded", of the cases."""
    found = []
    for i in range(each):
        generator = np.random.default_rng(i)
        if "random" in kinds:
            found.append(Utterance(generator.integers(0, unit_count, length).tolist(), 2 * i))
        if "held" in kinds:
            found.append(Utterance(_hold_units(generator, length, unit_count), 2 * i + 1))
    if "recorded" in kinds:
        for i, name in enumerate(("s2s", "s2s_long", "t2s", "s2s_img")):
            case = json.loads((FIXTURES / "cases" / f"{name}.json").read_text(encoding="utf-8"))
            found.append(Utterance(case["speech_units"], 1000 + i))
    return found


def _hold_units(generator: np.random.Generator, count: int, unit_count: int) -> list[int]:
    sounds = generator.integers(0, unit_count, count)
    held: list[int] = np.repeat(sounds, generator.integers(2, 6, count))[:count].tolist()
    return held


class Whole:
    """One utterance at once, and what any change of its input does to it: the scale for distances."""

    def __init__(self, voice: Voice, utterance: Utterance, audible: bool) -> None:
        self.utterance, self.audible = utterance, audible
        units, seed = utterance.units, utterance.seed
        self.mel = flow_at_once(voice, units, seed)
        self.scale = {
            "another seed": self._mel_db(flow_at_once(voice, units, seed + 500)),
            "other units": self._mel_db(flow_at_once(voice, units[::-1], seed)),
            "signal's own deviation": float(_DB * self.mel.std()),
        }
        if audible:
            self.samples = vocode_at_once(voice, self.mel, seed)
            self.reference = speak_at_once(voice, units, seed)
            self.log_mel, self.reference_log_mel = log_mel_db(self.samples), log_mel_db(self.reference)

    def _mel_db(self, other: NDArray[np.float32]) -> float:
        return float(_DB * np.sqrt(((self.mel - other) ** 2).mean()))


def measure(voice: Voice, spoken: Sequence[Utterance], settings: Sequence[Setting], audible: bool) -> Values:
    whole = [Whole(voice, utterance, audible) for utterance in spoken]
    scale = {name: float(np.mean([w.scale[name] for w in whole])) for name in whole[0].scale}
    if audible:
        scale["placement, of the waveform"] = _spread(
            np.concatenate([distance_db(w.log_mel, w.reference_log_mel) for w in whole])
        )["mean"]
    found = []
    for setting in settings:
        told = replace(voice, conditioned=setting.conditioned)
        streams = [stream(told, w.utterance.units, w.utterance.seed, setting.schedule) for w in whole]
        values: Values = {"setting": setting.as_json(), "first_needs_units": streams[0].first_needs_units}
        values["work"] = float(np.mean([s.work for s in streams]))
        values |= _compare_mels(streams, whole)
        if audible:
            values |= _compare_samples(voice, streams, whole)
        found.append(values)
        print(json.dumps(values["setting"]), file=sys.stderr, flush=True)
    return {"utterances": len(whole), "units": sum(len(w.utterance.units) for w in whole), "scale_db": scale} | {
        "settings": found
    }


def _compare_mels(streams: Sequence[Streamed], whole: Sequence[Whole]) -> Values:
    """The flow's part: distance to the whole's mel, and the mel's steps where chunks blend."""
    frames = [_DB * np.sqrt(((s.mel - w.mel) ** 2).mean(axis=0)) for s, w in zip(streams, whole, strict=True)]
    blends = [_blends(s) for s in streams]
    steps, control = [], []
    for s, w, at in zip(streams, whole, blends, strict=True):
        steps.append(SeamValues.split(_mel_steps(s.mel), at, ~at))
        control.append(SeamValues.split(_mel_steps(w.mel), at, ~at))
    return {
        "flow_mel_db": _spread(np.concatenate(frames)),
        "mel_step_at_blends": compare_seams(steps),
        "mel_step_there_in_the_whole": compare_seams(control),
    }


def _compare_samples(voice: Voice, streams: Sequence[Streamed], whole: Sequence[Whole]) -> Values:
    distances = defaultdict[str, list[FloatArray]](list)
    at_seams = defaultdict[str, list[SeamValues]](list)
    at_blends = defaultdict[str, list[SeamValues]](list)
    edges = defaultdict[str, list[float]](list)
    for s, w in zip(streams, whole, strict=True):
        joined, heard = vocode_at_once(voice, s.mel, w.utterance.seed), log_mel_db(s.samples)
        distances["total"].append(distance_db(heard, w.reference_log_mel))
        distances["flow"].append(distance_db(log_mel_db(joined), w.log_mel))
        distances["vocoder"].append(distance_db(heard, log_mel_db(joined)))
        seams, blends = _marks(s, [(f - 1, f + 2) for f in s.seams]), _blends(s)
        for name, values in Changes.of(s.samples).by_name().items():
            seam = _marks(s, [(f, f + 1) for f in s.seams]) if name == "kink" else seams
            at_seams[name].append(SeamValues.split(values, seam, ~(seams | blends)))
            at_blends[name].append(SeamValues.split(values, blends, ~(seams | blends)))
        for edge, part in (("head", slice(_EDGE_SAMPLES)), ("tail", slice(-_EDGE_SAMPLES, None))):
            edges[edge].append(level_db(s.samples[part]) - level_db(w.reference[part]))
        edges["vocoder_difference"].append(float(np.abs(joined - s.samples).max()))
    return {
        "waveform_log_mel_db": {name: _spread(np.concatenate(parts)) for name, parts in distances.items()},
        "at_seams": {name: compare_seams(parts) for name, parts in at_seams.items()},
        "at_blends": {name: compare_seams(parts) for name, parts in at_blends.items()},
        "same_sample_count": all(len(s.samples) == len(w.reference) for s, w in zip(streams, whole, strict=True)),
        "head_level_difference_db": edges["head"],
        "tail_level_difference_db": edges["tail"],
        "largest_vocoder_difference": max(edges["vocoder_difference"]),
        "clipped": _clipped([s.samples for s in streams]),
        "clipped_offline": _clipped([w.reference for w in whole]),
    }


def _mel_steps(mel: NDArray[np.float32]) -> FloatArray:
    """Root mean square over channels of the step to each frame from the one before; the first repeats the second."""
    steps = _DB * np.sqrt((np.diff(mel.astype(np.float64), axis=1) ** 2).mean(axis=0))
    return np.concatenate([steps[:1], steps])


def _blends(streamed: Streamed) -> NDArray[np.bool_]:
    """Steps into, within and out of the frames that two chunks share."""
    return _marks(streamed, [(begin, end + 1) for begin, end in streamed.fades])


def _marks(streamed: Streamed, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    marks = np.zeros(streamed.mel.shape[1], bool)
    for begin, end in spans:
        marks[max(0, begin) : end] = True
    return marks


def _spread(values: FloatArray) -> dict[str, float]:
    return {"mean": float(values.mean()), "p95": float(np.percentile(values, 95))}


def _clipped(signals: Sequence[FloatArray]) -> float:
    """Share of samples at the vocoder's limit."""
    return float((np.abs(np.concatenate(signals)) > 0.989).mean())


def run(cache: Path, results: Path) -> list[Path]:
    """Measure and draw. Returns the files written."""
    torch.set_num_threads(1)
    cache.mkdir(parents=True, exist_ok=True)
    path = record("streaming", {"utterances_of_a_kind": _EACH, "units": _LENGTH}, lambda: _values(cache), results)
    from benchmarks.streaming_plot import draw  # needs matplotlib, the numbers do not

    return [path, draw(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".svg"))]


def _values(cache: Path) -> Values:
    fixture, random = fixture_voice(cache), random_voice(cache)
    ideal = ideal_voice(random)
    few = [*varied()[:2], *at_random(8)]
    return {
        "ideal flow": measure(
            ideal, utterances(("held",), ideal_flow.UNITS, 4 * _EACH), varied() + at_random(8), audible=False
        ),
        "fixtures": measure(fixture, utterances(("random", "held", "recorded"), 4096, _EACH), few, audible=True),
        "random tiny": measure(random, utterances(("random", "held"), 512, _EACH), few, audible=True),
    }
