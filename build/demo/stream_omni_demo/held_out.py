"""The questions that the served checkpoint is judged by: their paraphrases, their scenes and one of the voices were
never trained on. Written for `stream-omni eval`.

    python -m stream_omni_demo.held_out [--work DIR] [--plan full|smoke] [--out DIR] [--items N]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stream_omni_demo.pipeline import WORK, Workshop
from stream_omni_demo.plan import PLANS
from stream_omni_demo.speech.coded import REST_S
from stream_omni_demo.voices.cast import OUTPUT, SMOKE_OUTPUT
from stream_omni_demo.voices.corpus import Utterance
from stream_omni_demo.voices.recording import record
from stream_omni_demo.voices.script import Part, Take
from stream_omni_demo.voices.stages import open_corpus
from stream_omni_demo.voices.synthesizer import Manner
from stream_omni_demo.world.drawing import draw
from stream_omni_demo.world.exchange import Exchange
from stream_omni_demo.world.expectation import expectation
from stream_omni_demo.world.sampling import turn_of
from stream_omni_demo.world.scene import Scene

MANIFEST = "questions.jsonl"
ITEMS = 240  # half by voices that were trained on, half by the one that was kept out
_GROUPS = {"voices heard in training": "held_out_sentence", "voice kept out": "held_out_voice"}


def write_held_out(workshop: Workshop, out: Path, count: int) -> Path:
    """``out``/questions.jsonl with sounds and pictures beside it. The same corpus gives the same files."""
    corpus, generator = open_corpus(workshop), np.random.default_rng(workshop.plan.seed + 1)
    items: list[dict[str, Any]] = []
    for group, split in _GROUPS.items():
        spoken = corpus.select(kind="question", split=split)  # type: ignore[arg-type]
        chosen = sorted(generator.permutation(len(spoken))[: count // len(_GROUPS)])
        for utterance in (spoken[int(i)] for i in chosen):
            name = f"{len(items) + 1:03d}"
            scene, exchange = turn_of(utterance.text, generator, "held_out")
            items.append(_item(name, group, utterance, scene, exchange, generator, out))
    answers = _source_voice(workshop, sorted({item["answer"] for item in items}), out)
    for item in items:
        item |= {"source_audio": answers[item["answer"]], "source_text": item.pop("answer")}
    path = out / MANIFEST
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    return path


def _item(
    name: str,
    group: str,
    utterance: Utterance,
    scene: Scene | None,
    exchange: Exchange,
    generator: np.random.Generator,
    out: Path,
) -> dict[str, Any]:
    item: dict[str, Any] = {"name": name, "group": group, "text": exchange.question, "audio": f"asked/{name}.flac"}
    _write_sound(out / item["audio"], utterance, REST_S)
    if scene is not None:
        item["image"] = f"seen/{name}.png"
        (out / "seen").mkdir(exist_ok=True)
        draw(scene, generator).save(out / item["image"])
    return item | expectation(exchange) | {"answer": exchange.answer}


def _source_voice(workshop: Workshop, texts: Sequence[str], out: Path) -> dict[str, str]:
    """The right answers, said by the voice that the flow and the vocoder learn: each text's file."""
    voice = OUTPUT if workshop.plan.synthesizers else SMOKE_OUTPUT
    takes = tuple(Take(text, "answer", "held_out_sentence", Manner(voice.inner)) for text in texts)
    spoken = record([Part("source", voice, takes)], workshop.folder / "held_out_source", 1, workshop.say)
    found = {}
    for number, utterance in enumerate(spoken, start=1):
        found[utterance.text] = f"source/{number:03d}.flac"
        _write_sound(out / found[utterance.text], utterance)
    return found


def _write_sound(path: Path, utterance: Utterance, rest_s: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.pad(utterance.wav, (0, round(rest_s * utterance.rate_hz))), utterance.rate_hz)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stream_omni_demo.held_out",
        description="Write the held-out questions of a training for stream-omni eval.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--work", type=Path, default=WORK, metavar="DIR", help="of the training, which holds the speech"
    )
    parser.add_argument("--plan", choices=PLANS, default="full", help="of the training")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where they go (default: held_out in the --work folder)"
    )
    parser.add_argument("--items", type=int, default=ITEMS, metavar="N", help="how many")
    arguments = parser.parse_args()
    workshop = Workshop(arguments.work, PLANS[arguments.plan])
    out = arguments.out or workshop.folder / "held_out"
    print(
        f"stream-omni eval --manifest {write_held_out(workshop, out, arguments.items)} --repository DIR --out quality"
    )


if __name__ == "__main__":
    main()
