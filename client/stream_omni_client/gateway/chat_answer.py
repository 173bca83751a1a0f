"""A chat completion as OpenAI's interface has it, whole and in chunks."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from stream_omni_client.gateway.chat_request import ChatRequest
from stream_omni_client.gateway.messages import TRANSCRIPT
from stream_omni_client.gateway.sound_files import CHAT_FORMATS, NO_SPEECH, whole_file
from stream_omni_client.reply import Reply


class ChatAnswer:
    """Of one request. What was understood of a spoken question is the field ``input_audio_transcript`` of the message,
    or of the deltas before its first word."""

    def __init__(self, model: str, chat: ChatRequest) -> None:
        self._chat = chat
        self._audio_id = f"audio_{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": self._created, "model": model}

    def whole(self, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
        if self._chat.sound_format is not None:
            message |= {"content": None, "audio": self._audio(reply, self._chat.sound_format)}
        if self._chat.conversation.sound is not None:
            message[TRANSCRIPT] = reply.transcript
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": usage_of(reply.usage)}

    def beginning(self) -> dict[str, Any]:
        if self._chat.sound_format is None:
            return self._chunk({"role": "assistant", "content": "", "refusal": None})
        return self._chunk({"role": "assistant", "refusal": None, "audio": {"id": self._audio_id, "transcript": ""}})

    def transcript(self, delta: str) -> dict[str, Any]:
        return self._chunk({TRANSCRIPT: delta})

    def text(self, delta: str) -> dict[str, Any]:
        if self._chat.sound_format is None:
            return self._chunk({"content": delta})
        return self._chunk({"audio": {"id": self._audio_id, "transcript": delta}})

    def sound(self, data: bytes) -> dict[str, Any]:
        return self._chunk({"audio": {"id": self._audio_id, "data": base64.b64encode(data).decode()}})

    def ending(self, reply: Reply) -> Iterator[dict[str, Any]]:
        if self._chat.sound_format is not None:
            yield self._chunk({"audio": {"id": self._audio_id, "expires_at": self._created}})
        yield self._chunk({}, reply.finish_reason)
        if self._chat.with_usage:
            yield {
                **self._head,
                "object": "chat.completion.chunk",
                "choices": [],
                "usage": usage_of(reply.usage),
            }

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def _audio(self, reply: Reply, sound_format: str) -> dict[str, Any]:
        """It expires as it is made: the gateway keeps no answers."""
        content = whole_file(reply.audio or NO_SPEECH, CHAT_FORMATS[sound_format])
        return {
            "id": self._audio_id,
            "data": base64.b64encode(content).decode(),
            "expires_at": self._created,
            "transcript": reply.text,
        }


def usage_of(counts: Mapping[str, int]) -> dict[str, Any]:
    """Tokens; of speech, units of 40 ms."""
    prompt, heard = counts.get("prompt_tokens", 0), counts.get("question_units", 0)
    text, spoken = counts.get("text_tokens", 0), counts.get("speech_units", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": text + spoken,
        "total_tokens": prompt + text + spoken,
        "prompt_tokens_details": {"audio_tokens": heard, "cached_tokens": 0},
        "completion_tokens_details": {"text_tokens": text, "audio_tokens": spoken, "reasoning_tokens": 0},
    }
