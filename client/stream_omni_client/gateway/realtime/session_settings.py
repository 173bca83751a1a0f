"""How a session is set up, and how a client changes it with ``session.update``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream_omni_client.gateway.api_errors import invalid, unsupported
from stream_omni_client.gateway.fields import Fields
from stream_omni_client.gateway.realtime.audio_formats import PCM16, AudioFormat, read_format
from stream_omni_client.gateway.realtime.turn_detector import TurnDetection
from stream_omni_client.gateway.voices import read_voice

MAX_OUTPUT_TOKENS = 4096
DEFAULT_TURN_DETECTION = TurnDetection()
_MAX_INSTRUCTIONS_CHARACTERS = 100_000
_ANSWER_FIELDS = {"instructions", "output_modalities", "max_output_tokens"}
_UNSERVED: dict[str, tuple[Any, ...]] = {  # with the values that ask for nothing
    "tools": ([],),
    "tool_choice": ("auto", "none"),
    "parallel_tool_calls": (False,),
    "reasoning": (),
    "prompt": (),
}
_SESSION_FIELDS = {"type", "audio", "truncation", "model", "tracing", "include"}
_TOLD = {"id", "object", "expires_at", "voices", "notice", "examples"}  # what `session.created` said may be sent back
_TRANSCRIPTION_FIELDS = ("model", "language", "prompt")  # the model heeds none: it writes down what it hears


@dataclass(frozen=True)
class AnswerSettings:
    """What one response is made by. ``voice`` and ``max_output_tokens`` None: the server's default."""

    instructions: str | None = None
    is_spoken: bool = True
    voice: str | None = None
    output_format: AudioFormat = PCM16
    max_output_tokens: int | None = None

    def read(self, fields: Fields, output: Fields | None, voices: Sequence[str]) -> AnswerSettings:
        """These settings with what a session or a response changes by its ``fields`` and its ``audio.output``.

        Raises ApiError.
        """
        refuse_unserved(fields, _UNSERVED)
        changed = self
        if "instructions" in fields or fields.is_null("instructions"):
            changed = replace(changed, instructions=_instructions(fields))
        if "output_modalities" in fields:
            changed = replace(changed, is_spoken=_is_spoken(fields))
        if "max_output_tokens" in fields:
            changed = replace(changed, max_output_tokens=_max_output_tokens(fields))
        if output is None:
            return changed
        output.refuse_unknown({"format", "voice", "speed"})
        refuse_unserved(output, {"speed": (1,)})
        changed = replace(changed, output_format=read_format(output.fields("format"), self.output_format))
        return replace(changed, voice=_voice(output, voices)) if "voice" in output else changed

    def describe_output(self) -> dict[str, Any]:
        return {"format": self.output_format.describe(), "voice": self.voice or "default"}

    @property
    def modalities(self) -> list[str]:
        return ["audio" if self.is_spoken else "text"]

    @property
    def described_max_output_tokens(self) -> int | str:
        return self.max_output_tokens or "inf"


ANSWER_FIELDS = _ANSWER_FIELDS | _UNSERVED.keys()


@dataclass(frozen=True)
class SessionSettings:
    """``turn_detection`` None: the client says by itself when a question ends (push to talk). ``transcription`` None:
    no events tell what was heard. ``drops_oldest``: of a conversation that is too long for the model's context, the
    oldest turns are left away; else it is refused."""

    answer: AnswerSettings = AnswerSettings()
    input_format: AudioFormat = PCM16
    turn_detection: TurnDetection | None = DEFAULT_TURN_DETECTION
    transcription: tuple[tuple[str, str], ...] | None = (("model", "stream-omni"),)
    drops_oldest: bool = True

    def update(self, fields: Fields, voices: Sequence[str], models: Sequence[str]) -> SessionSettings:
        """These settings with what ``session`` of a ``session.update`` changes. Raises ApiError."""
        fields.refuse_unknown(_SESSION_FIELDS | _TOLD | ANSWER_FIELDS)
        if fields.raw("type") not in (None, "realtime"):
            raise unsupported(fields.path("type"), "only sessions of the type 'realtime' are served")
        refuse_unserved(fields, {"model": models, "tracing": (), "include": ([],)})
        source, output = read_audio(fields, {"input", "output"})
        changed = self if source is None else self._read_input(source)
        truncation = fields.choice("truncation", ("auto", "disabled"))
        if truncation is not None:
            changed = replace(changed, drops_oldest=truncation == "auto")
        return replace(changed, answer=self.answer.read(fields, output, voices))

    def _read_input(self, source: Fields) -> SessionSettings:
        source.refuse_unknown({"format", "turn_detection", "transcription", "noise_reduction"})
        refuse_unserved(source, {"noise_reduction": ()})
        changed = replace(self, input_format=read_format(source.fields("format"), self.input_format))
        detection, transcription = source.fields("turn_detection"), source.fields("transcription")
        if detection is not None or source.is_null("turn_detection"):
            changed = replace(changed, turn_detection=_turn_detection(detection, self.turn_detection))
        if transcription is not None or source.is_null("transcription"):
            changed = replace(changed, transcription=_transcription(transcription))
        return changed

    def describe(self) -> dict[str, Any]:
        """As ``session.created`` and ``session.updated`` show it."""
        return {
            "type": "realtime",
            "instructions": self.answer.instructions,
            "output_modalities": self.answer.modalities,
            "max_output_tokens": self.answer.described_max_output_tokens,
            "truncation": "auto" if self.drops_oldest else "disabled",
            "tools": [],
            "tool_choice": "auto",
            "tracing": None,
            "include": None,
            "audio": {
                "input": {
                    "format": self.input_format.describe(),
                    "transcription": None if self.transcription is None else dict(self.transcription),
                    "noise_reduction": None,
                    "turn_detection": _describe(self.turn_detection),
                },
                "output": {**self.answer.describe_output(), "speed": 1.0},
            },
        }


def read_audio(fields: Fields, known: set[str]) -> tuple[Fields | None, Fields | None]:
    """The settings of ``audio.input`` and ``audio.output``. Raises ApiError."""
    audio = fields.fields("audio")
    if audio is None:
        return None, None
    audio.refuse_unknown(known)
    return audio.fields("input"), audio.fields("output")


def refuse_unserved(fields: Fields, harmless: Mapping[str, Sequence[Any]]) -> None:
    """Raises ApiError for a field that asks for what there is not."""
    for name, values in harmless.items():
        value = fields.raw(name)
        if value is not None and value not in values:
            raise unsupported(fields.path(name), f"{fields.path(name)} is not served; leave it away")


def _describe(detection: TurnDetection | None) -> dict[str, Any] | None:
    if detection is None:
        return None
    return {"type": "server_vad", **vars(detection), "idle_timeout_ms": None}


def _instructions(fields: Fields) -> str | None:
    text, path = fields.text("instructions"), fields.path("instructions")
    if text is not None and len(text) > _MAX_INSTRUCTIONS_CHARACTERS:
        raise invalid(f"{path} has {len(text)} characters; the limit is {_MAX_INSTRUCTIONS_CHARACTERS}", path)
    return text or None


def _is_spoken(fields: Fields) -> bool:
    path, modalities = fields.path("output_modalities"), fields.items("output_modalities")
    if modalities not in (["audio"], ["text"]):
        raise invalid(f'{path} can be ["audio"], which comes with its text, or ["text"]', path, "invalid_value")
    return bool(modalities == ["audio"])


def _max_output_tokens(fields: Fields) -> int | None:
    if fields.raw("max_output_tokens") == "inf":
        return None
    return fields.integer("max_output_tokens", 1, MAX_OUTPUT_TOKENS)


def _voice(fields: Fields, voices: Sequence[str]) -> str | None:
    voice, path = read_voice(fields), fields.path("voice")
    if voice is not None and voice not in voices:
        raise invalid(f"there is no voice {voice[:40]!r}; there are {', '.join(voices)}", path, "invalid_value")
    return voice


def _turn_detection(fields: Fields | None, present: TurnDetection | None) -> TurnDetection | None:
    if fields is None:
        return None
    fields.refuse_unknown({"type", "idle_timeout_ms", *TurnDetection.__dataclass_fields__})
    refuse_unserved(fields, {"idle_timeout_ms": ()})
    if fields.needed_text("type") != "server_vad":
        path = fields.path("type")
        raise unsupported(path, f"{path} can be 'server_vad'; null turns detection off")
    given = {
        "threshold": fields.number("threshold", 0.0, 1.0),
        "prefix_padding_ms": fields.integer("prefix_padding_ms", 0, 2000),
        "silence_duration_ms": fields.integer("silence_duration_ms", 50, 5000),
        **{name: fields.boolean(name) for name in ("create_response", "interrupt_response") if name in fields},
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(present or DEFAULT_TURN_DETECTION, **changes)


def _transcription(fields: Fields | None) -> tuple[tuple[str, str], ...] | None:
    if fields is None:
        return None
    fields.refuse_unknown(set(_TRANSCRIPTION_FIELDS))
    named = ((name, fields.text(name)) for name in _TRANSCRIPTION_FIELDS)
    return tuple((name, value) for name, value in named if value is not None)
