"""The schema and the table of values are those of values.yaml, and what the README claims is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stream_omni_chart.__main__ import files
from stream_omni_chart.values_file import ValuesError, read_values

from tests.helm.chart import CHART, ROOT


def test_schema_and_reference_are_current() -> None:
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m stream_omni_chart"


def test_every_claim_of_the_readme_names_tests_that_are_there() -> None:
    text = (CHART / "README.md").read_text(encoding="utf-8")
    claims = re.search(r"## What it promises\n(.*?)\n## ", text, re.DOTALL)
    assert claims
    rows = [line for line in claims[1].splitlines() if line.startswith("| ") and not line.startswith("| claim")]
    assert len(rows) > 15
    for row in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert tests, f"no test is named: {row}"
        for file, name in tests:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"
            assert f"{file}::{name}".startswith(_run_by_make()), f"make test-k8s leaves {file}::{name} out"


def _run_by_make() -> tuple[str, ...]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (paths,) = re.findall(r"^K8S_TESTS := (.*)$", text, re.MULTILINE)
    return tuple(f"{path}/" if (ROOT / path).is_dir() else path for path in paths.split())


def test_a_value_that_nobody_explains_is_told(tmp_path: Path) -> None:
    from stream_omni_chart.reference import reference

    file = tmp_path / "values.yaml"
    file.write_text("# of the door\ndoor:\n  # as it is\n  lock: {key: a}\n  size: 1\n")
    with pytest.raises(ValuesError, match=r"door\.size needs a comment"):
        reference(read_values(file))
    file.write_text("# of the door\ndoor:\n  # as it is\n  lock: {key: a}\n")
    assert '| `door.lock.key` | `"a"` | as it is |' in reference(read_values(file))


def test_a_value_without_a_type_is_told(tmp_path: Path) -> None:
    from stream_omni_chart.schema import schema_text

    file = tmp_path / "values.yaml"
    file.write_text("# what\nsize: null\n")
    with pytest.raises(ValuesError, match="size needs an @schema"):
        schema_text(read_values(file))
    file.write_text('# @schema {"minimum" 1}\nsize: 1\n')
    with pytest.raises(ValuesError, match="@schema of size is no JSON"):
        read_values(file)
