"""The messages of a chat, as one turn of Stream-Omni has them: a system prompt, a history of words, and the question.

The history is text only, so what was spoken in earlier turns must come as words: an assistant's speech as its
transcript, a user's question as the ``input_audio_transcript`` that came with the answer. Who appends the messages that
the gateway sent to his list, as users of openai's package do, has both in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_omni_client.gateway.api_errors import invalid, unsupported
from stream_omni_client.gateway.base64_data import decode_base64, decode_data_url
from stream_omni_client.gateway.fields import Fields, fields_of

TRANSCRIPT = "input_audio_transcript"  # our own field: what was understood of a spoken question
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ASSISTANT_FIELDS = {
    "role",
    "content",
    "name",
    "refusal",
    "audio",
    "annotations",
    "tool_calls",
    "function_call",
    TRANSCRIPT,
}


@dataclass(frozen=True)
class PictureUrl:
    """A picture that has to be fetched; ``path`` is where the request names it."""

    url: str
    path: str


@dataclass(frozen=True)
class Sound:
    """An encoded file; ``path`` is where it stands in the request."""

    content: bytes
    path: str


@dataclass(frozen=True)
class Conversation:
    """Exactly one of ``text`` and ``sound`` is the question. ``pictures`` are those of all messages, in order."""

    system: str | None
    history: tuple[dict[str, str], ...]
    text: str | None
    sound: Sound | None
    pictures: tuple[bytes | PictureUrl, ...]


@dataclass
class _UserMessage:
    path: str
    texts: list[str] = field(default_factory=list)
    sound: Sound | None = None
    pictures: list[bytes | PictureUrl] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def read_messages(items: Sequence[Any]) -> Conversation:
    """Raises ApiError, which names the message."""
    messages = [fields_of(item, f"messages[{index}]") for index, item in enumerate(items)]
    roles = [_role(message) for message in messages]
    count = next((index for index, role in enumerate(roles) if role != "system"), len(roles))
    systems = [_words(message, ("text",)) for message in messages[:count]]
    if not messages[count:]:
        raise invalid("messages has no message of the user's", "messages")
    if roles[-1] != "user":
        raise invalid(
            f"the last message is of the {roles[-1]}; it has to be the user's", f"messages[{len(roles) - 1}].role"
        )
    history: list[dict[str, str]] = []
    pictures: list[bytes | PictureUrl] = []
    for message, role, following in zip(messages[count:-1], roles[count:-1], messages[count + 1 :], strict=True):
        if role == "system":
            raise unsupported(message.path("role"), "system messages can only come before all others")
        if role == "assistant":
            history.append({"role": "assistant", "text": _answer(message)})
            continue
        earlier = _read_user(message)
        pictures += earlier.pictures
        history += _as_history(earlier, following)
    question = _read_user(messages[-1])
    history += _beside_sound(question)
    return Conversation(
        "\n\n".join(systems) or None,
        tuple(history),
        question.text if question.sound is None else None,
        question.sound,
        (*pictures, *question.pictures),
    )


def _role(message: Fields) -> str:
    role = message.choice("role", _ROLES)
    if role is None:
        raise message.missing("role")
    if role in ("tool", "function"):
        raise unsupported(message.path("role"), "this model calls no tools")
    return "system" if role == "developer" else role


def _answer(message: Fields) -> str:
    message.refuse_unknown(_ASSISTANT_FIELDS)
    if message.items("tool_calls") or "function_call" in message:
        raise unsupported(message.path("tool_calls"), "this model calls no tools")
    text = _words(message, ("text", "refusal")) if "content" in message else message.text("refusal")
    audio = message.fields("audio")
    spoken = audio.text("transcript") if audio else None
    answer = text or spoken
    if answer is None and text is None:
        raise invalid(
            f"{message.path('content')} is missing; send what was answered, for speech its transcript: the gateway "
            "keeps no answers that an id could name",
            message.path("content"),
        )
    return answer or ""


def _words(message: Fields, kinds: tuple[str, ...]) -> str:
    content = message.raw("content")
    if content is None:
        raise message.missing("content")
    if isinstance(content, str):
        return content
    texts = []
    for index, item in enumerate(message.items("content")):
        part = fields_of(item, message.path(f"content[{index}]"))
        kind = part.choice("type", kinds)
        if kind is None:
            raise part.missing("type")
        texts.append(part.needed_text(kind))
    return "\n".join(texts)


def _read_user(message: Fields) -> _UserMessage:
    message.refuse_unknown({"role", "content", "name"})
    read = _UserMessage(message.path("content"))
    content = message.raw("content")
    if content is None:
        raise message.missing("content")
    if isinstance(content, str):
        read.texts.append(content)
        return read
    for index, item in enumerate(message.items("content")):
        _add_part(read, fields_of(item, f"{read.path}[{index}]"))
    if not read.texts and read.sound is None:
        raise invalid(f"{read.path} has neither text nor input_audio", read.path)
    return read


def _add_part(read: _UserMessage, part: Fields) -> None:
    kind = part.choice("type", ("text", "image_url", "input_audio", "file"))
    if kind == "text":
        read.texts.append(part.needed_text("text"))
    elif kind == "image_url":
        read.pictures.append(_picture(part))
    elif kind == "input_audio":
        if read.sound is not None:
            raise unsupported(part.path("input_audio"), "a message can have one input_audio; join the recordings")
        sound = part.fields("input_audio")
        if sound is None:
            raise part.missing("input_audio")
        read.sound = Sound(decode_base64(sound.needed_text("data"), sound.path("data")), sound.path("data"))
    elif kind == "file":
        raise unsupported(
            part.path("file"), "this model reads no files; send pictures as image_url, sound as input_audio"
        )
    else:
        raise part.missing("type")


def _picture(part: Fields) -> bytes | PictureUrl:
    image = part.fields("image_url")
    if image is None:
        raise part.missing("image_url")
    url, path = image.needed_text("url"), image.path("url")
    return decode_data_url(url, path) if url[:5].lower() == "data:" else PictureUrl(url, path)


def _as_history(message: _UserMessage, following: Fields) -> list[dict[str, str]]:
    """What was spoken in words, which the answer that follows tells."""
    if message.sound is None:
        return [{"role": "user", "text": message.text}]
    transcript = following.text(TRANSCRIPT)
    if transcript is None:
        raise invalid(
            f"{message.sound.path} belongs to an earlier turn, of which the model takes words only: leave the "
            f"{TRANSCRIPT} that came with the answer in the assistant's message, or send it in the place of the sound",
            message.sound.path,
        )
    return [*_beside_sound(message), {"role": "user", "text": transcript}]


def _beside_sound(message: _UserMessage) -> list[dict[str, str]]:
    """A question is words or sound, so words beside a sound go before it."""
    return [{"role": "user", "text": message.text}] if message.sound is not None and message.text.strip() else []
