"""Every alert on series on which it must fire and on series on which it must not, judged by Prometheus' own
promtool."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

import pytest
import yaml
from stream_omni_monitoring.__main__ import main
from stream_omni_monitoring.rules import RUNBOOKS

from tests.monitoring.alert_cases import CASES, Case
from tests.monitoring.conftest import RULES, rules_of

ROOT = Path(__file__).parents[2]
ALERTS = {rule["alert"]: rule for rule in rules_of("alert")}
GROUPS = ["stream-omni.first-audio", "stream-omni.turns", "stream-omni.alerts"]  # records before what uses them
NEVER_SILENT = "StreamOmniWatchdog"
SHORT_LIVED = {"StreamOmniDrainTimeout"}


class Promtool(Protocol):
    def __call__(self, *arguments: str | Path) -> CompletedProcess[str]: ...


def test_the_files_are_those_that_the_code_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_an_old_file_is_found_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--out", str(tmp_path)]) == 1
    assert "rules/alerts.yaml is not up to date" in capsys.readouterr().err
    assert main(["--out", str(tmp_path)]) == 0 and main(["--check", "--out", str(tmp_path)]) == 0


def test_another_promise_is_in_rules_and_words(tmp_path: Path) -> None:
    own = ["--first-audio-s", "0.5", "--share", "0.99", "--runbooks-url", "https://wiki.example.org/omni"]
    assert main([*own, "--out", str(tmp_path)]) == 0
    alerts = (tmp_path / "rules" / "alerts.yaml").read_text()
    assert "https://wiki.example.org/omni/first-audio-burn.md" in alerts and RUNBOOKS not in alerts
    assert "> 0.144 and" in alerts and "after more than 0.5 s" in alerts
    assert 'le="0.5"' in (tmp_path / "rules" / "recording.yaml").read_text()


@pytest.mark.parametrize("wrong", [["--first-audio-s", "0.6"], ["--share", "95"]])
def test_a_promise_that_cannot_be_measured_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(wrong) == 2
    assert "take " in capsys.readouterr().err


def test_promtool_reads_the_rules(promtool: Promtool) -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fired = {case.alert for case in CASES if case.labels is not None}
    silent = {case.alert for case in CASES if case.labels is None}
    assert fired == ALERTS.keys()
    assert silent == ALERTS.keys() - {NEVER_SILENT}


@pytest.mark.parametrize("step", ["1m", "5m"])
def test_alerts_fire_when_they_should_and_say_what_they_should(promtool: Promtool, step: str, tmp_path: Path) -> None:
    """Rules are evaluated every five minutes, which spares time, but for an alert on what does not last that long."""
    content = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": step,
        "group_eval_order": GROUPS,
        "tests": [_test(case) for case in CASES if (case.alert in SHORT_LIVED) == (step == "1m")],
    }
    tests = tmp_path / "tests.yaml"
    tests.write_text(yaml.safe_dump(content))
    tested = promtool("test", "rules", tests)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def _test(case: Case) -> dict[str, Any]:
    expected = {"eval_time": case.at, "alertname": case.alert, "exp_alerts": []}
    if case.labels is not None:
        rule = ALERTS[case.alert]
        told = {"summary": case.summary, "description": case.description}
        told["runbook_url"] = rule["annotations"]["runbook_url"]
        expected["exp_alerts"] = [{"exp_labels": {**case.labels, **rule["labels"]}, "exp_annotations": told}]
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [expected],
    }


def test_each_alert_tells_its_value_and_has_a_runbook() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning", "none")
        assert "$value" in rule["annotations"]["description"], name
        page = rule["annotations"]["runbook_url"].removeprefix(f"{RUNBOOKS}/")
        runbook = (ROOT / "docs" / "runbooks" / page).read_text(encoding="utf-8")
        assert name in runbook, f"docs/runbooks/{page} does not tell of {name}"
        for heading in ("## What it means", "## How to look", "## What to do"):
            assert heading in runbook, f"docs/runbooks/{page} lacks {heading}"


def test_no_runbook_is_without_its_alert() -> None:
    pages = {path.name for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README.md"}
    assert pages == {rule["annotations"]["runbook_url"].rpartition("/")[2] for rule in ALERTS.values()}
