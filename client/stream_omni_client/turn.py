"""One turn as the caller states it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from stream_omni_client.audio import AudioInput, read_audio
from stream_omni_client.image import ImageInput, read_images

Output: TypeAlias = Literal["text", "speech"]
Task: TypeAlias = Literal["answer", "transcribe", "speak"]


class TurnOptions(TypedDict, total=False):
    """What may accompany the question and its pictures. What is absent or None, the server decides."""

    history: Sequence[Mapping[str, str]] | None
    """Earlier turns, oldest first, each ``{"role": "user" or "assistant", "text": ...}``."""
    system: str | None
    voice: str | None
    max_tokens: int | None
    max_audio_ms: int | None
    temperature: float | None
    """Of the text; 0 is greedy."""
    top_p: float | None
    seed: int | None


def turn_inputs(
    text: str | None,
    audio: AudioInput | None,
    image: ImageInput | None,
    output: Output,
    task: Task,
    options: TurnOptions,
) -> dict[str, Any]:
    """The inputs by name, without the absent ones. Raises what :func:`read_audio` and :func:`read_images` raise."""
    unknown = options.keys() - TurnOptions.__annotations__.keys()
    if unknown:
        known = ", ".join(TurnOptions.__annotations__)
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}; there are: {known}")
    inputs: dict[str, Any] = {"task": task, "text": text, "output": output, **options}
    if audio is not None:
        inputs["audio"], inputs["sample_rate"] = read_audio(audio)
    if inputs.get("history") is not None:
        inputs["history"] = json.dumps([dict(turn) for turn in inputs["history"]], ensure_ascii=False)
    inputs["image"] = read_images(image) or None
    return {name: value for name, value in inputs.items() if value is not None}
