"""Checkov finds nothing but what we chose, each with a reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
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
def test_nothing_is_found_beyond_what_was_chosen(tmp_path: Path) -> None:
    assert _checkov(CASES, tmp_path, SKIPPED) == []


@pytest.mark.k8s
def test_every_reason_is_needed(tmp_path: Path) -> None:
    assert {check for check, *_ in _checkov(["cpu", "fetch"], tmp_path, {})} == SKIPPED.keys()


def _checkov(names: Collection[str], folder: Path, skipped: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Failed checks: the check, in which case, and of which object."""
    for name in names:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(render(CASES[name]).objects))
    options = ["--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--output", "json"]
    skipping = ["--skip-check", ",".join(skipped)] if skipped else []
    command = [programs.checkov(), "--directory", folder, *options, *skipping]
    ended = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(ended.stdout)
    assert report["summary"]["passed"] > 50 * len(names) and report["summary"]["parsing_errors"] == 0
    return [(each["check_id"], each["file_path"], each["resource"]) for each in report["results"]["failed_checks"]]
