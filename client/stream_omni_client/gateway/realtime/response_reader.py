"""A client's ``response.create``, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_omni_client.gateway.api_errors import invalid
from stream_omni_client.gateway.fields import Fields
from stream_omni_client.gateway.realtime.conversation import Conversation
from stream_omni_client.gateway.realtime.item_reader import read_item
from stream_omni_client.gateway.realtime.items import Item
from stream_omni_client.gateway.realtime.limits import QuestionLimits
from stream_omni_client.gateway.realtime.response import ResponseRequest
from stream_omni_client.gateway.realtime.session_settings import ANSWER_FIELDS, SessionSettings, read_audio

_MAX_METADATA, _MAX_KEY_CHARACTERS, _MAX_VALUE_CHARACTERS = 16, 64, 512  # as OpenAI's


def read_response(
    fields: Fields,
    conversation: Conversation,
    settings: SessionSettings,
    voices: Sequence[str],
    limits: QuestionLimits,
) -> ResponseRequest:
    """``fields``: the event's field ``response``. Raises ApiError."""
    fields.refuse_unknown({"audio", "conversation", "input", "metadata"} | ANSWER_FIELDS)
    _, output = read_audio(fields, {"output"})
    joins = fields.choice("conversation", ("auto", "none")) != "none"
    items: Sequence[Item] = tuple(conversation.items)
    if "input" in fields:
        path = fields.path("input")
        given = enumerate(fields.items("input"))
        items = [_item(item, f"{path}[{n}]", conversation, settings, limits) for n, item in given]
    answer = settings.answer.read(fields, output, voices)
    return ResponseRequest(items, answer, conversation if joins else None, settings.drops_oldest, _metadata(fields))


def _item(value: Any, path: str, conversation: Conversation, settings: SessionSettings, limits: QuestionLimits) -> Item:
    if isinstance(value, dict) and value.get("type") == "item_reference":
        return conversation.find(str(value.get("id")), f"{path}.id")
    return read_item(value, path, settings.input_format, limits)


def _metadata(fields: Fields) -> dict[str, str] | None:
    path, metadata = fields.path("metadata"), fields.raw("metadata")
    if metadata is None:
        return None
    if (
        not isinstance(metadata, dict)
        or len(metadata) > _MAX_METADATA
        or not all(_fits(*entry) for entry in metadata.items())
    ):
        told = (
            f"{path} can be an object of at most {_MAX_METADATA} strings, names of at most {_MAX_KEY_CHARACTERS} and "
        )
        raise invalid(f"{told}values of at most {_MAX_VALUE_CHARACTERS} characters", path)
    return metadata


def _fits(name: str, value: Any) -> bool:
    return len(name) <= _MAX_KEY_CHARACTERS and isinstance(value, str) and len(value) <= _MAX_VALUE_CHARACTERS
