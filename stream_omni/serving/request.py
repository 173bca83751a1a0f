"""One turn as a client asked for it, checked: what is wrong with a request is said before any stage works on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stream_omni.assets import Assets
from stream_omni.image import ImageError, ImageLimits, decode_image
from stream_omni.prompt import Message
from stream_omni.serving.errors import InvalidRequestError
from stream_omni.serving.limits import Limits
from stream_omni.tokenizer import Tokenizer

Task = Literal["answer", "transcribe", "speak"]
Output = Literal["text", "speech"]

INPUTS = (
    *("task", "text", "audio", "sample_rate", "image", "output", "history", "system", "voice"),
    *("max_tokens", "max_audio_ms", "temperature", "top_p", "seed"),
)
_DEFAULT_SAMPLE_RATE_HZ = 16_000
_DEFAULT_VOICE = "default"


@dataclass(frozen=True, eq=False)
class TurnRequest:
    """A valid turn. Exactly one of ``text`` and ``audio`` is there; ``max_tokens`` None: as many as by default fit."""

    task: Task
    output: Output
    text: str | None
    audio: NDArray[np.float32] | None  # [N] mono, -1..1
    sample_rate_hz: int
    pictures: tuple[Image.Image, ...]
    history: tuple[Message, ...]
    system: str | None
    voice: str
    max_tokens: int | None
    max_audio_ms: int
    temperature: float
    top_p: float
    seed: int

    @property
    def mode(self) -> str:
        """One of the reference's four, for example ``speech_to_text``."""
        return f"{'text' if self.audio is None else 'speech'}_to_{self.output}"


def read_request(inputs: Mapping[str, NDArray[Any]], assets: Assets, limits: Limits) -> TurnRequest:
    """The turn that ``inputs`` (by the names of the protocol, absent ones left out) ask for.

    Raises :class:`InvalidRequestError` with a sentence that names the problem, the limit and the mend.
    """
    unknown = inputs.keys() - set(INPUTS)
    if unknown:
        raise InvalidRequestError(f"there is no input {', '.join(sorted(unknown))}; the inputs are {', '.join(INPUTS)}")
    task = cast(Task, _choice(inputs, "task", ("answer", "transcribe", "speak")))
    output = cast(Output, _choice(inputs, "output", ("text", "speech")))
    text, audio = _words(inputs, limits), _audio(inputs)
    _check_sources(task, output, text, audio, inputs)
    sample_rate_hz = _integer(
        inputs, "sample_rate", _DEFAULT_SAMPLE_RATE_HZ, limits.min_sample_rate_hz, limits.max_sample_rate_hz, "Hz"
    )
    if audio is not None:
        _check_audio(audio, sample_rate_hz, limits)
    request = TurnRequest(
        task=task,
        output="speech" if task == "speak" else output,
        text=text,
        audio=audio,
        sample_rate_hz=sample_rate_hz,
        pictures=_pictures(inputs, limits),
        history=_history(inputs, limits),
        system=_text(inputs, "system", limits),
        voice=_voice(inputs, assets.voices),
        max_tokens=_integer(inputs, "max_tokens", 0, 1, limits.max_tokens, "tokens") or None,
        max_audio_ms=_integer(
            inputs, "max_audio_ms", limits.default_audio_out_ms, limits.min_audio_out_ms, limits.max_audio_out_ms, "ms"
        ),
        temperature=_real(
            inputs, "temperature", 0.0, lambda t: 0 <= t <= limits.max_temperature, f"0 to {limits.max_temperature:g}"
        ),
        top_p=_real(inputs, "top_p", 1.0, lambda p: 0 < p <= 1, "above 0 and at most 1"),
        seed=_integer(inputs, "seed", 0, 0, 2**64 - 1),
    )
    _check_control_tokens(request, assets.tokenizer)
    return request


def _check_sources(
    task: Task, output: Output, text: str | None, audio: NDArray[Any] | None, inputs: Mapping[str, Any]
) -> None:
    if text is None and audio is None:
        raise InvalidRequestError("there is neither text nor audio; send exactly one of them")
    if text is not None and audio is not None:
        raise InvalidRequestError(
            "there are both text and audio; send exactly one of them, the other can go into history"
        )
    if task == "transcribe" and audio is None:
        raise InvalidRequestError("task transcribe needs audio; send audio, or use task answer for text")
    if task == "transcribe" and output == "speech":
        raise InvalidRequestError("task transcribe makes no speech; leave output away, or use task answer")
    if task == "speak" and text is None:
        raise InvalidRequestError("task speak needs text; send the words to be spoken as text")
    unused = {"speak": ("image", "history", "system"), "transcribe": ("image",), "answer": ()}[task]
    for name in unused:
        if name in inputs and inputs[name].size:
            raise InvalidRequestError(f"task {task} has no use for {name}; leave it away")
    if audio is None and "sample_rate" in inputs:
        raise InvalidRequestError("sample_rate belongs to audio, and there is none; leave it away, or send audio")


def _words(inputs: Mapping[str, NDArray[Any]], limits: Limits) -> str | None:
    text = _text(inputs, "text", limits)
    if text is not None and not text.strip():
        raise InvalidRequestError("text is empty; send at least one word")
    return text


def _audio(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    audio = inputs.get("audio")
    if audio is None:
        return None
    if audio.dtype != np.float32 or audio.ndim != 1:
        raise InvalidRequestError(
            f"audio is {audio.dtype} of shape {list(audio.shape)}; send mono samples as FP32 of shape [N]"
        )
    return audio


def _check_audio(audio: NDArray[np.float32], sample_rate_hz: int, limits: Limits) -> None:
    duration_ms = audio.size / sample_rate_hz * 1000
    if duration_ms < limits.min_audio_in_ms:
        raise InvalidRequestError(
            f"audio lasts {duration_ms:.0f} ms; at least {limits.min_audio_in_ms} ms are needed, record longer"
        )
    if duration_ms > limits.max_audio_in_ms:
        raise InvalidRequestError(
            f"audio lasts {duration_ms / 1000:.1f} s at {sample_rate_hz} Hz; the limit is "
            f"{limits.max_audio_in_ms / 1000:g} s, ask in shorter pieces (or mend sample_rate)"
        )
    if not np.isfinite(audio).all():
        first = int(np.argmin(np.isfinite(audio)))
        raise InvalidRequestError(f"audio holds NaN or infinity (sample {first}); send finite samples between -1 and 1")
    peak = float(np.abs(audio).max())
    if peak < limits.min_audio_peak:
        raise InvalidRequestError(
            f"audio is silent (peak {peak:.2g}, needed {limits.min_audio_peak:g}); check the microphone"
        )
    if peak > limits.max_audio_peak:
        raise InvalidRequestError(
            f"audio reaches {peak:.3g}; samples are between -1 and 1, divide 16-bit integers by 32768"
        )


def _pictures(inputs: Mapping[str, NDArray[Any]], limits: Limits) -> tuple[Image.Image, ...]:
    encoded = inputs.get("image")
    if encoded is None:
        return ()
    if encoded.dtype != object or encoded.ndim != 1:
        raise InvalidRequestError("image must be BYTES of shape [K]: K pictures as JPEG, PNG or WebP files")
    if encoded.size > limits.max_pictures:
        raise InvalidRequestError(
            f"there are {encoded.size} pictures; the limit is {limits.max_pictures}, leave some away"
        )
    pictures = []
    for number, content in enumerate(encoded, start=1):
        if len(content) > limits.max_picture_bytes:
            raise InvalidRequestError(
                f"picture {number} has {len(content)} bytes; the limit is {limits.max_picture_bytes}, send it smaller"
            )
        try:
            pictures.append(decode_image(content, ImageLimits(limits.max_picture_pixels, limits.max_picture_side_px)))
        except ImageError as error:
            raise InvalidRequestError(f"picture {number}: {error}") from error
    return tuple(pictures)


def _history(inputs: Mapping[str, NDArray[Any]], limits: Limits) -> tuple[Message, ...]:
    mend = 'send a JSON list of {"role": "user" or "assistant", "text": "..."}, oldest first'
    content = _bytes(inputs, "history")
    if not content:
        return ()
    if len(content) > limits.max_history_bytes:
        raise InvalidRequestError(
            f"history has {len(content)} bytes; the limit is {limits.max_history_bytes}, drop the oldest turns"
        )
    try:
        turns = json.loads(_decode("history", content))
    except (ValueError, RecursionError) as error:  # a ValueError that is no JSONDecodeError: a number of 5000 digits
        where = f" (position {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequestError(f"history is not JSON{where}; {mend}") from error
    if not isinstance(turns, list):
        raise InvalidRequestError(f"history is not a list; {mend}")
    if len(turns) > limits.max_history_turns:
        raise InvalidRequestError(
            f"history has {len(turns)} turns; the limit is {limits.max_history_turns}, drop the oldest"
        )
    for number, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.keys() != {"role", "text"} or not isinstance(turn["text"], str):
            raise InvalidRequestError(f"turn {number} of history does not have exactly role and text; {mend}")
        if turn["role"] not in ("user", "assistant"):
            raise InvalidRequestError(f"turn {number} of history has an unknown role; {mend}")
        _check_text(f"turn {number} of history", turn["text"], limits)
    return tuple(Message(turn["role"], turn["text"]) for turn in turns)


def _voice(inputs: Mapping[str, NDArray[Any]], voices: Collection[str]) -> str:
    name = _string(inputs, "voice") or _DEFAULT_VOICE
    if name != _DEFAULT_VOICE and name not in voices:
        raise InvalidRequestError(
            f"there is no voice {name[:40]!r}; the voices are {', '.join((_DEFAULT_VOICE, *sorted(voices)))}"
        )
    return name


def _text(inputs: Mapping[str, NDArray[Any]], name: str, limits: Limits) -> str | None:
    text = _string(inputs, name)
    if text is not None:
        _check_text(name, text, limits)
    return text


def _check_text(what: str, text: str, limits: Limits) -> None:
    if len(text) > limits.max_text_characters:
        raise InvalidRequestError(
            f"{what} has {len(text)} characters; the limit is {limits.max_text_characters}, shorten it"
        )
    if not text.isascii():  # JSON can smuggle halves of characters in
        _decode(what, text.encode("utf-8", "surrogatepass"))


def _check_control_tokens(request: TurnRequest, tokenizer: Tokenizer) -> None:
    """Words must not pass for the frame of the prompt: a turn's end, another role, a picture, a speech unit."""
    for text in (request.text, request.system, *(message.text for message in request.history)):
        if text and (token := tokenizer.find_control_token(text)):
            raise InvalidRequestError(f"the text holds {token}, which controls the model; write it otherwise")


def _choice(inputs: Mapping[str, NDArray[Any]], name: str, choices: tuple[str, ...]) -> str:
    """The first choice is the default."""
    value = _string(inputs, name)
    if value is not None and value not in choices:
        raise InvalidRequestError(f"{name} is {value[:40]!r}; it can be {' or '.join(choices)}")
    return value or choices[0]


def _integer(inputs: Mapping[str, NDArray[Any]], name: str, default: int, low: int, high: int, unit: str = "") -> int:
    value = _scalar(inputs, name, "iu", "a whole number")
    if value is None:
        return default
    if not low <= int(value) <= high:
        raise InvalidRequestError(f"{name} is {value}; it can be {low} to {high} {unit}".rstrip())
    return int(value)


def _real(
    inputs: Mapping[str, NDArray[Any]], name: str, default: float, fits: Callable[[float], bool], span: str
) -> float:
    value = _scalar(inputs, name, "f", "a floating-point number")
    if value is None:
        return default
    if not fits(value):  # NaN fits nothing
        raise InvalidRequestError(f"{name} is {value:g}; it can be {span}")
    return float(value)


def _string(inputs: Mapping[str, NDArray[Any]], name: str) -> str | None:
    content = _bytes(inputs, name)
    return None if content is None else _decode(name, content)


def _bytes(inputs: Mapping[str, NDArray[Any]], name: str) -> bytes | None:
    value = _scalar(inputs, name, "O", "BYTES")
    return None if value is None else bytes(value)


def _decode(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{name} is not UTF-8 (byte {error.start}); send UTF-8") from None


def _scalar(inputs: Mapping[str, NDArray[Any]], name: str, kinds: str, expected: str) -> Any:
    """None where absent. ``kinds`` are numpy's letters for the kinds of numbers that are accepted."""
    value = inputs.get(name)
    if value is None:
        return None
    if value.dtype.kind not in kinds or value.shape != (1,):
        raise InvalidRequestError(
            f"{name} is {value.dtype} of shape {list(value.shape)}; send one value of shape [1], {expected}"
        )
    return value[0]
