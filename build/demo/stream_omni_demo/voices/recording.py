"""Has the script spoken: shards are made by several processes side by side, and only those that are not there yet."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni_demo.voices.cast import SYNTHESIZERS
from stream_omni_demo.voices.corpus import INDEX, Corpus
from stream_omni_demo.voices.script import Part, Take
from stream_omni_demo.voices.sound import Pcm, at_rate, level, to_pcm, trim
from stream_omni_demo.voices.synthesizer import Manner, MissingError

_SAY_EVERY_S = 20.0


def record(parts: Sequence[Part], folder: Path, processes: int, say: Callable[[str], None]) -> Corpus:
    """Raises MissingError, before anything is made, with all that must be installed."""
    folder.mkdir(parents=True, exist_ok=True)
    missing_parts = [part for part in parts if not _is_made(part, folder)]
    _require({SYNTHESIZERS[part.voice.synthesizer].missing() for part in missing_parts})
    if len(missing_parts) < len(parts):
        say(f"corpus: {len(parts) - len(missing_parts)} of {len(parts)} shards are there")
    began_s = said_s = time.monotonic()
    total_s, done_s = sum(part.expected_s for part in missing_parts), 0.0
    for number, part in enumerate(_recorded(missing_parts, folder, processes), start=1):
        done_s += part.expected_s
        now_s = time.monotonic()
        if now_s - said_s > _SAY_EVERY_S or number == len(missing_parts):
            left_s = (now_s - began_s) * max(0.0, total_s - done_s) / done_s
            say(f"corpus: shard {number} of {len(missing_parts)} ({part.name}); {left_s / 60:.1f} minutes left")
            said_s = now_s
    _write_index(parts, folder)
    return Corpus.open(folder)


def _require(missing: set[str]) -> None:
    if needs := sorted(missing - {""}):
        raise MissingError(f"the corpus needs synthesizers that are not installed: {'; '.join(needs)}")


def _recorded(parts: Sequence[Part], folder: Path, processes: int) -> Iterator[Part]:
    """As they are completed."""
    if processes == 1:
        for part in parts:
            yield record_part(part, folder)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of whoever trains here
    with ProcessPoolExecutor(processes, context) as pool:
        waiting = [pool.submit(record_part, part, folder) for part in parts]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def record_part(part: Part, folder: Path) -> Part:
    """Write ``folder``/NAME.npy, all samples in a row, and NAME.json, which says what is where; complete or not at all.

    Raises RuntimeError where a synthesizer made nothing that can be heard.
    """
    wavs = _speak(part)
    ends = list(accumulate(wav.size for wav in wavs))
    entries = [
        {
            "text": take.text,
            "voice": part.voice.name,
            "kind": take.kind,
            "split": take.split,
            "rate_hz": part.voice.rate_hz,
            "shard": f"{part.name}.npy",
            "start": end - wav.size,
            "length": wav.size,
        }
        for take, wav, end in zip(part.takes, wavs, ends, strict=True)
    ]
    partial = folder / f"{part.name}.partial.npy"
    np.save(partial, np.concatenate(wavs))
    partial.replace(folder / f"{part.name}.npy")
    _write_json(folder / f"{part.name}.json", {"made_from": part.made_from, "utterances": entries})
    return part


def _speak(part: Part) -> list[Pcm]:
    """In the order of the takes; all that is said in one manner is said at once."""
    places: dict[Manner, list[int]] = {}
    for place, take in enumerate(part.takes):
        places.setdefault(take.manner, []).append(place)
    wavs: dict[int, Pcm] = {}
    synthesizer = SYNTHESIZERS[part.voice.synthesizer]
    for manner, chosen in places.items():
        sounds = synthesizer.speak([part.takes[place].text for place in chosen], manner)
        for place, sound in zip(chosen, sounds, strict=True):
            try:
                wavs[place] = to_pcm(level(trim(at_rate(sound, part.voice.rate_hz))).samples)
            except ValueError as error:
                raise RuntimeError(f"{part.voice.name} said {_quoted(part.takes[place])} as {error}") from error
    return [wavs[place] for place in range(len(part.takes))]


def _quoted(take: Take) -> str:
    return f"{take.text!r} ({take.manner})"


def _is_made(part: Part, folder: Path) -> bool:
    path = folder / f"{part.name}.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["made_from"] == part.made_from


def _write_index(parts: Sequence[Part], folder: Path) -> None:
    names = sorted(part.name for part in parts)
    shards = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in names]
    _write_json(folder / INDEX, {"utterances": [entry for shard in shards for entry in shard["utterances"]]})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=0), encoding="utf-8")
    partial.replace(path)
