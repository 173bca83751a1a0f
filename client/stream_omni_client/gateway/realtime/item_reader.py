"""A client's ``conversation.item.create``, checked."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from stream_omni_client.gateway.api_errors import invalid, unsupported
from stream_omni_client.gateway.base64_data import decode_base64, decode_data_url
from stream_omni_client.gateway.fields import Fields, fields_of
from stream_omni_client.gateway.realtime.audio_formats import AudioFormat
from stream_omni_client.gateway.realtime.items import Answer, Item, Part, Picture, Role, Speech, Words, new_id
from stream_omni_client.gateway.realtime.limits import QuestionLimits
from stream_omni_client.gateway.realtime.voice_activity import RATE_HZ
from stream_omni_client.gateway.resampling import Resampler

_PARTS: dict[Role, tuple[str, ...]] = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
    "system": ("input_text",),
}
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
_MAX_ID_CHARACTERS = 64


def read_item(value: Any, path: str, sound_format: AudioFormat, limits: QuestionLimits) -> Item:
    """A message. Raises ApiError for everything else, and for what no turn can take."""
    fields = fields_of(value, path)
    if fields.needed_text("type") != "message":
        raise unsupported(fields.path("type"), "items can only be of the type 'message'")
    fields.refuse_unknown({"type", "role", "id", "content", "object", "status"})
    role = fields.choice("role", tuple(_PARTS))
    if role is None:
        raise fields.missing("role")
    item_id = fields.text("id") or new_id("item")
    if len(item_id) > _MAX_ID_CHARACTERS:
        raise invalid(f"{fields.path('id')} has more than {_MAX_ID_CHARACTERS} characters", fields.path("id"))
    reader = _PartReader(cast(Role, role), sound_format, limits)
    content = [
        reader.read(fields_of(part, fields.path(f"content[{n}]"))) for n, part in enumerate(fields.items("content"))
    ]
    item = Item(cast(Role, role), content, item_id)
    _check(item, fields.path("content"), limits)
    return item


def _check(item: Item, path: str, limits: QuestionLimits) -> None:
    if not item.content:
        raise invalid(f"{path} is empty; a message has at least one part", path)
    if sum(isinstance(part, Speech) for part in item.content) > 1:
        raise unsupported(path, f"{path} has more than one input_audio; send a message for each")
    if len(item.pictures) > limits.max_pictures:
        raise invalid(f"{path} has {len(item.pictures)} pictures; the limit is {limits.max_pictures}", path)


class _PartReader:
    """Of one message's parts. Raises ApiError."""

    def __init__(self, role: Role, sound_format: AudioFormat, limits: QuestionLimits) -> None:
        self._role, self._format, self._limits = role, sound_format, limits

    def read(self, fields: Fields) -> Part:
        kind = fields.choice("type", _PARTS[self._role])
        if kind is None:
            raise fields.missing("type")
        if kind == "input_audio":
            return self._speech(fields)
        if kind == "input_image":
            return self._picture(fields)
        fields.refuse_unknown({"type", "text"})
        text, path = fields.needed_text("text"), fields.path("text")
        if len(text) > self._limits.max_text_characters:
            told = f"{path} has {len(text)} characters; the limit is {self._limits.max_text_characters}"
            raise invalid(told, path, "string_above_max_length")
        return Answer(is_spoken=False, text=text) if self._role == "assistant" else Words(text)

    def _speech(self, fields: Fields) -> Speech:
        fields.refuse_unknown({"type", "audio", "transcript"})  # the last for reference only: the model hears by itself
        path, form, limits = fields.path("audio"), self._format, self._limits
        content = decode_whole_samples(fields.needed_text("audio"), path, form)
        resampler = Resampler(form.rate_hz, RATE_HZ)
        samples = np.concatenate([resampler.add(form.decode(content)), resampler.finish()])
        duration_ms = len(samples) * 1000 / RATE_HZ
        if not limits.min_audio_ms <= duration_ms <= limits.max_audio_ms:
            told = f"{path} lasts {duration_ms:.0f} ms; it can be {limits.min_audio_ms} to {limits.max_audio_ms} ms"
            raise invalid(told, path, "invalid_audio")
        return Speech(samples)

    def _picture(self, fields: Fields) -> Picture:
        fields.refuse_unknown({"type", "image_url", "detail"})
        fields.choice("detail", ("auto", "low", "high"))
        path = fields.path("image_url")
        encoded = decode_data_url(fields.needed_text("image_url"), path)
        if not encoded.startswith(_PICTURES):
            raise invalid(f"{path} holds no JPEG, PNG or WebP file", path, "invalid_image_format")
        if len(encoded) > self._limits.max_picture_bytes:
            told = f"{path} has {len(encoded)} bytes; the limit is {self._limits.max_picture_bytes}, send it smaller"
            raise invalid(told, path, "image_too_large")
        return Picture(encoded)


def decode_whole_samples(text: str, path: str, sound_format: AudioFormat) -> bytes:
    """Raises ApiError."""
    content = decode_base64(text, path)
    if len(content) % sound_format.bytes_a_sample:
        raise invalid(f"{path} ends in the middle of a sample of {sound_format.bytes_a_sample} bytes", path)
    return content
