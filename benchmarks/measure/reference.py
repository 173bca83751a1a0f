"""The reference's algorithm with its costs (benchmarks/reference_baseline.py), against ours: same weights, same ids,
one thread each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from stream_omni_eval.percentiles import Percentiles

from benchmarks.own_loop import OwnLoop
from benchmarks.plans import Plan
from benchmarks.reference_baseline import Reference
from benchmarks.results import Values
from benchmarks.spoken_prompts import SpokenPrompt, spoken_prompt
from benchmarks.subjects import Subject
from benchmarks.summary import Ratio, interleave
from stream_omni.assets import Assets
from stream_omni.checkpoint import open_sources
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.session import Array
from stream_omni.runtime.torch_runtime import TorchRuntime

_QUESTION_UNITS = 60  # 2.4 s

Speak = Callable[[], Iterator[int]]


@dataclass(frozen=True)
class Spoken:
    """When each id came, in seconds since the turn began."""

    ids: list[int]
    at_s: list[float]

    @property
    def first_ms(self) -> float:
        return 1000 * self.at_s[0]

    @property
    def unit_ms(self) -> float:
        """Between the first id and the last, of one."""
        return 1000 * (self.at_s[-1] - self.at_s[0]) / (len(self.at_s) - 1)


def measure(subject: Subject, plan: Plan) -> Values:
    if subject.checkpoint is None:
        raise ValueError("this measurement reads the checkpoint: give --checkpoint with --served")
    torch.set_num_threads(1)
    assets = Assets.load(subject.served)
    ours = OwnLoop(OnnxRuntime(subject.served, threads=1), assets)
    theirs = Reference(
        open_sources(subject.checkpoint)["model"], assets.info, lambda ids: assets.tokenizer.decode(ids, False)
    )
    vision = TorchRuntime(subject.checkpoint).session("vision_encoder")
    values: Values = {"question_units": _QUESTION_UNITS, "max_units": plan.reference_units}
    for name, picture in (("question", False), ("question with a picture", True)):
        asked = spoken_prompt(assets, _QUESTION_UNITS, picture, seed=1)
        torch_pictures = partial(asked.pictures, vision, assets)
        sides: dict[str, Speak] = {
            "reference": partial(_speak_as_reference, theirs, asked, torch_pictures, plan.reference_units),
            "ours": partial(ours.speak, asked, plan.reference_units),
        }
        values[name] = _compare(sides, plan.pair_rounds)
    return values


def _speak_as_reference(
    reference: Reference, asked: SpokenPrompt, pictures: Callable[[], list[Array]], max_units: int
) -> Iterator[int]:
    rows = [torch.from_numpy(rows) for rows in pictures()]
    places = [at - number for number, at in enumerate(asked.prompt.image_at)]
    return reference.speak(asked.prompt.spoken_ids.tolist(), rows, places, max_units)


def _compare(sides: Mapping[str, Speak], rounds: int) -> Values:
    timed = {name: partial(_time, speak) for name, speak in sides.items()}
    interleave(timed, 1)  # first calls cost more
    found = interleave(timed, rounds)
    ids = {tuple(spoken.ids) for each in found.values() for spoken in each}
    if len(ids) != 1:
        raise RuntimeError("the two sides made different ids: what was measured is not the same work")
    theirs, ours = found["reference"], found["ours"]
    return {
        "units": len(ours[0].ids),
        "unit_ms": {
            name: Percentiles.of([spoken.unit_ms for spoken in each]).as_json() for name, each in found.items()
        },
        "first_unit_ms": {
            name: Percentiles.of([spoken.first_ms for spoken in each]).as_json() for name, each in found.items()
        },
        "unit_ratio": Ratio.of([s.unit_ms for s in theirs], [s.unit_ms for s in ours]).as_json(),
        "first_unit_ratio": Ratio.of([s.first_ms for s in theirs], [s.first_ms for s in ours]).as_json(),
    }


def _time(speak: Speak) -> Spoken:
    began_s, spoken = time.perf_counter(), Spoken([], [])
    for unit in speak():
        spoken.ids.append(unit)
        spoken.at_s.append(time.perf_counter() - began_s)
    return spoken
