"""What a request for a chat completion asks for. What this model cannot do is refused, never left undone in silence."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream_omni_client.gateway.api_errors import invalid, unsupported
from stream_omni_client.gateway.fields import Fields
from stream_omni_client.gateway.messages import Conversation, read_messages
from stream_omni_client.gateway.model_names import check_model
from stream_omni_client.gateway.settings import Settings
from stream_omni_client.gateway.sound_files import CHAT_FORMATS
from stream_omni_client.gateway.voices import read_voice
from stream_omni_client.turn import TurnOptions

_USED = {
    *("model", "messages", "modalities", "audio", "stream", "stream_options"),
    *("max_tokens", "max_completion_tokens", "max_audio_ms", "temperature", "top_p", "seed"),
}
# These say something about the caller or OpenAI's own service; the answer is the same with and without them.
IGNORED = {
    *("user", "metadata", "safety_identifier", "service_tier", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
}
# Refused, except where the value asks for nothing: by the field's name, whether a value does so.
REFUSED: Mapping[str, Callable[[Any], bool]] = {
    "n": lambda value: value == 1,
    "tools": lambda value: value == [],
    "tool_choice": lambda value: value in ("none", "auto"),
    "functions": lambda value: value == [],
    "function_call": lambda value: value in ("none", "auto"),
    "response_format": lambda value: value == {"type": "text"},
    "logprobs": lambda value: value is False,
    "top_logprobs": lambda value: value == 0,
    "logit_bias": lambda value: value == {},
    "frequency_penalty": lambda value: value == 0,
    "presence_penalty": lambda value: value == 0,
    "stop": lambda value: value == [],
    "store": lambda value: value is False,
    "prediction": lambda value: False,
    "moderation": lambda value: False,
    "reasoning_effort": lambda value: value == "none",
    "verbosity": lambda value: value == "medium",
    "web_search_options": lambda value: False,
}
_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True)
class ChatRequest:
    """``sound_format``: None for an answer in text only. ``options`` go to the server as they are."""

    conversation: Conversation
    options: TurnOptions
    sound_format: str | None
    is_streamed: bool
    with_usage: bool  # of streamed answers; others always have it


def read_chat_request(body: Mapping[str, Any], settings: Settings) -> ChatRequest:
    """Raises ApiError, which names the field."""
    fields = Fields(body)
    fields.refuse_unknown(_USED | IGNORED | REFUSED.keys())
    check_model(fields.needed_text("model"), settings)
    for name, asks_for_nothing in REFUSED.items():
        if name in fields and not asks_for_nothing(fields.raw(name)):
            raise unsupported(name, f"this model has no {name}: leave it away")
    if "messages" not in fields:
        raise fields.missing("messages")
    sound_format, voice = _read_output(fields)
    is_streamed = fields.boolean("stream")
    conversation = read_messages(fields.items("messages"))
    temperature = fields.number("temperature", 0, 2)
    options: TurnOptions = {
        "system": conversation.system,
        "history": conversation.history or None,
        "voice": voice,
        "max_tokens": _max_tokens(fields),
        "max_audio_ms": _max_audio_ms(fields, sound_format),
        "temperature": temperature,
        "top_p": fields.number("top_p", 0, 1),
        "seed": _seed(fields, temperature),
    }
    return ChatRequest(conversation, options, sound_format, is_streamed, _with_usage(fields, is_streamed))


def _read_output(fields: Fields) -> tuple[str | None, str | None]:
    """Format and voice of the speech; both None where only text is wanted."""
    modalities = fields.items("modalities") or ["text"]
    audio = fields.fields("audio")
    if sorted(map(str, modalities)) not in (["text"], ["audio", "text"]):
        raise unsupported("modalities", 'modalities can be ["text"] or ["text", "audio"]')
    if "audio" not in modalities:
        if audio is not None:
            raise invalid('audio is for answers in speech; ask for modalities ["text", "audio"]', "audio")
        return None, None
    if audio is None:
        raise invalid('modalities with "audio" need audio: {"voice": ..., "format": ...}', "audio")
    audio.refuse_unknown({"voice", "format"})
    return audio.choice("format", tuple(CHAT_FORMATS)) or "wav", read_voice(audio)


def _max_tokens(fields: Fields) -> int | None:
    if "max_tokens" in fields and "max_completion_tokens" in fields:
        raise invalid("max_tokens and max_completion_tokens are two names of one limit; send one", "max_tokens")
    name = "max_tokens" if "max_tokens" in fields else "max_completion_tokens"
    return fields.integer(name, 1, _MAX_INT32)


def _max_audio_ms(fields: Fields, sound_format: str | None) -> int | None:
    if sound_format is None and "max_audio_ms" in fields:
        raise invalid('max_audio_ms is for answers in speech; ask for modalities ["text", "audio"]', "max_audio_ms")
    return fields.integer("max_audio_ms", 1, _MAX_INT32)


def _seed(fields: Fields, temperature: float | None) -> int | None:
    """Without one, answers at a temperature differ, as callers expect; the server's own seed is fixed."""
    seed = fields.integer("seed", -_MAX_INT64 - 1, _MAX_INT64)
    if seed is None:
        return secrets.randbits(63) if temperature else None
    return seed % 2**64


def _with_usage(fields: Fields, is_streamed: bool) -> bool:
    options = fields.fields("stream_options")
    if options is None:
        return False
    if not is_streamed:
        raise invalid("stream_options are for streamed answers; send stream: true", "stream_options")
    options.refuse_unknown({"include_usage", "include_obfuscation"})
    return options.boolean("include_usage")
