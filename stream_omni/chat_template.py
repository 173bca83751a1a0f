"""The checkpoint's chat template, rendered as Hugging Face's tokenizers render it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stream_omni.request_error import RequestError

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


class ChatTemplate:
    """A template is code from the checkpoint; it runs in Jinja's sandbox."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        self._template = environment.from_string(source)
        self._special_tokens = dict(special_tokens)

    @classmethod
    def load(cls, directory: Path, config: Mapping[str, Any]) -> ChatTemplate:
        """From ``chat_template.jinja`` or else from tokenizer_config.json. Raises ValueError where there is none."""
        file = directory / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
        if isinstance(source, list):  # several, by name
            source = {entry["name"]: entry["template"] for entry in source}.get("default")
        if not isinstance(source, str):
            raise ValueError(f"{directory} has no chat template (tokenizer_config.json or chat_template.jinja)")
        return cls(source, {name: _content(config[name]) for name in _SPECIAL_TOKENS if config.get(name)})

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt of a list of {"role", "content"}. ``add_generation_prompt`` is off, as in the reference.

        Raises RequestError where the template refuses the messages.
        """
        try:
            return self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=False, **self._special_tokens
            )
        except TemplateError as error:
            raise RequestError(f"the checkpoint's chat template refuses these messages: {error}") from error


def _content(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Jinja's own filter would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
