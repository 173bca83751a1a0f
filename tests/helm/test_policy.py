"""Checkov finds nothing but what we chose, each with a reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helm import programs
from tests.helm.cases import CASES
from tests.helm.chart import render

# what is left out, and why
SKIPPED = {
    "CKV_K8S_11": "no CPU limits: throttled stages make gaps in speech; requests keep the share",
    "CKV_K8S_15": "images are named by version or digest; pulling each start would make starts depend on the registry",
    "CKV_K8S_40": "the user id is the image's own (image.user); a high one buys nothing with a read-only root",
    "CKV_K8S_43": "image.digest is there for who wants it; ours is built by whoever deploys",
    "CKV_K8S_8": "Jobs and the test's pod end by themselves; checkov asks them for probes, too",
    "CKV_K8S_9": "likewise",
}


@pytest.mark.k8s
@pytest.mark.parametrize("name", ["cpu", "fetch", "mutual", "keys"])
def test_nothing_is_found_beyond_what_was_chosen(name: str, tmp_path: Path) -> None:
    found = _checkov(name, tmp_path, SKIPPED)
    assert found == []


@pytest.mark.k8s
def test_every_reason_is_needed(tmp_path: Path) -> None:
    found = {check for name in ("cpu", "fetch") for check, _ in _checkov(name, tmp_path / name, {})}
    assert found == SKIPPED.keys()


def _checkov(name: str, folder: Path, skipped: dict[str, str]) -> list[tuple[str, str]]:
    """Failed checks: the check, and of which object."""
    folder.mkdir(exist_ok=True)
    (folder / "all.yaml").write_text(yaml.safe_dump_all(render(CASES[name]).objects))
    options = ["--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--output", "json"]
    skipping = ["--skip-check", ",".join(skipped)] if skipped else []
    command = [programs.checkov(), "--directory", folder, *options, *skipping]
    ended = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(ended.stdout)
    assert report["summary"]["passed"] > 50 and report["summary"]["parsing_errors"] == 0
    return [(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]]
