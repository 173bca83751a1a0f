"""What the documents state of the code is what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from stream_omni.serving.limits import Limits

ROOT = Path(__file__).parents[1]


def test_the_table_of_limits_states_each_with_its_default() -> None:
    table = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(Limits):
        assert f"`{field.name}` {field.default}" in table


def test_links_between_documents_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([\w./-]+\.\w+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_stage_tables_name_every_served_model() -> None:
    models = {path.parent.name for path in (ROOT / "model_repository").glob("*/config.pbtxt")}
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    steps_of_turn = {"prepare", "answer"}
    assert models and all(f"`{model}`" in table for model in models - steps_of_turn)
