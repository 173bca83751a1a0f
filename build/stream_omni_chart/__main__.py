"""``python -m stream_omni_chart``: write values.schema.json and the reference in the chart's README."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stream_omni_chart.reference import with_reference
from stream_omni_chart.schema import schema_text
from stream_omni_chart.values_file import read_values

CHART = Path(__file__).parents[2] / "helm" / "stream-omni"


def files() -> Mapping[Path, str]:
    """What the chart's generated files must hold. Raises ValueError."""
    values = read_values(CHART / "values.yaml")
    readme = CHART / "README.md"
    return {CHART / "values.schema.json": schema_text(values), readme: with_reference(readme, values)}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path)
