from __future__ import annotations

from pathlib import Path

import pytest

from stream_omni.chat_template import ChatTemplate
from stream_omni.request_error import RequestError
from tests.small_tokenizer import BOS, TEMPLATE

MESSAGES = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "猫？"}]


def test_the_llama_template() -> None:
    assert ChatTemplate(TEMPLATE, {"bos_token": BOS}).render(MESSAGES) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n猫？<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_blocks_leave_no_white_space() -> None:
    body = "    {% if not add_generation_prompt %}\n{{ message.role }}\n    {% endif %}\n"
    source = "{% for message in messages %}\n" + body + "{% endfor %}"
    assert ChatTemplate(source, {}).render(MESSAGES) == "system\nuser\n"


def test_what_hugging_face_offers_templates() -> None:
    source = (
        "{{ {'a': '<猫>'} | tojson }}{% for m in messages %}{{ strftime_now('%Y') | length }}{% break %}{% endfor %}"
    )
    assert ChatTemplate(source, {}).render(MESSAGES) == '{"a": "<猫>"}4'


def test_refusals_are_told() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(RequestError, match="refuses these messages: roles must alternate"):
        template.render(MESSAGES)


def test_templates_run_in_a_sandbox() -> None:
    with pytest.raises(RequestError, match="unsafe"):
        ChatTemplate("{{ ''.__class__.__mro__ }}", {}).render(MESSAGES)


def test_where_a_template_is_found(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ bos_token }} listed"}]
    config = {"bos_token": {"content": "<s>"}, "chat_template": named}
    assert ChatTemplate.load(tmp_path, config).render(MESSAGES) == "<s> listed"
    (tmp_path / "chat_template.jinja").write_text("file")
    assert ChatTemplate.load(tmp_path, config).render(MESSAGES) == "file"
    with pytest.raises(ValueError, match="no chat template"):
        ChatTemplate.load(tmp_path / "elsewhere", {})
