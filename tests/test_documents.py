"""What the documents state of the code is what the code says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest
from stream_omni_build.repository import find_profile
from stream_omni_client import StreamOmni
from stream_omni_client.gateway.realtime.limits import RealtimeLimits
from stream_omni_client.gateway.settings import GatewayLimits, Settings

from stream_omni.serving.limits import Limits

ROOT = Path(__file__).parents[1]


def limits_of_the_profile() -> dict[str, object]:
    """What a CPU profile says of turns, beside its table of limits of a request."""
    profile = tomllib.loads(find_profile("cpu").read_text(encoding="utf-8"))
    tables = {name: value for table in ("shared", "stream_omni") for name, value in profile[table].items()}
    return {name: tables[name] for name in ("slots", "waiting", "wait_s", "turn_timeout_s", "stage_timeout_s")}


def limits_of_the_client() -> dict[str, object]:
    parameters = {**signature(StreamOmni.stream).parameters, **signature(StreamOmni).parameters}
    names = ("first_event_timeout_s", "idle_timeout_s", "timeout_s", "max_retries")
    return {name: parameters[name].default for name in names}


def limits_of_the_gateway() -> dict[str, object]:
    settings = Settings()
    chosen = {f"--{name}-timeout": getattr(settings, f"{name.replace('-', '_')}_timeout_s") for name in _CHOSEN}
    return {name: f"{value:g}" for name, value in chosen.items()}


_CHOSEN = ("first-event", "idle", "turn")


@pytest.mark.parametrize(
    "limits",
    [
        {field.name: field.default for kind in (Limits, GatewayLimits, RealtimeLimits) for field in fields(kind)},
        limits_of_the_profile(),
        limits_of_the_client(),
        limits_of_the_gateway(),
    ],
    ids=["dataclasses", "profile", "client", "gateway"],
)
def test_the_table_of_limits_states_each_with_its_default(limits: dict[str, object]) -> None:
    """A limit that is added to the code must be added to the table."""
    rows = [row for row in (ROOT / "docs" / "limits.md").read_text(encoding="utf-8").splitlines() if row[:1] == "|"]
    for name, value in limits.items():
        (row,) = [row for row in rows if f"`{name}` {value}" in row]
        assert len(row.split(" | ")[3].strip(" |")) > 10, f"{name} has no reason"


def test_links_between_documents_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([\w./-]+\.\w+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_stage_tables_name_every_served_model() -> None:
    models = {path.parent.name for path in (ROOT / "model_repository").glob("*/config.pbtxt")}
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    steps_of_turn = {"prepare", "answer"}
    assert models and all(f"`{model}`" in table for model in models - steps_of_turn)
