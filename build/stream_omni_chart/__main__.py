"""``python -m stream_omni_chart``: write values.schema.json, the reference in the chart's README, and what was
measured of a replica."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from stream_omni_chart.measured import capacities_text
from stream_omni_chart.reference import with_reference
from stream_omni_chart.schema import schema_text
from stream_omni_chart.values_file import read_values

_ROOT = Path(__file__).parents[2]
CHART = _ROOT / "helm" / "stream-omni"
_CAPACITY = _ROOT / "benchmarks" / "results" / "capacity.json"


def files() -> Mapping[Path, str]:
    """What the chart's generated files must hold. Raises ValueError."""
    values = read_values(CHART / "values.yaml")
    readme, measured = CHART / "README.md", CHART / "measured" / "capacity.yaml"
    return {
        CHART / "values.schema.json": schema_text(values),
        readme: with_reference(readme, values),
        measured: capacities_text(_CAPACITY, measured),
    }


def main() -> int:
    """Exit code 1 where what they follow from makes no sense."""
    try:
        written = files()
    except ValueError as error:
        print(f"stream_omni_chart: {error}", file=sys.stderr)
        return 1
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
