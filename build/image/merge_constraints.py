"""Constraints for an image whose base has packages of its own: the base's versions, and ours for what it lacks.

    python3 merge_constraints.py constraints.txt > merged.txt

Run by the base's own Python. NVIDIA's images hold builds of PyTorch and others that fit each other and are on no
package index: replacing one of them by our version would take the rest apart.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path


def merge(ours: str, base: dict[str, str]) -> list[str]:
    """``ours``: lines NAME==VERSION; ``base``: name, as pip compares names, to version."""
    lines = [line.partition("#")[0].strip() for line in ours.splitlines()]
    added = [line for line in lines if line and normal(line.partition("==")[0]) not in base]
    return sorted([*added, *(f"{name}=={version}" for name, version in base.items())])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """What is imported: of a package that is there twice (the system's, and a newer one before it) the first."""
    found: dict[str, str] = {}
    for one in distributions():
        if one.metadata["Name"]:
            found.setdefault(normal(one.metadata["Name"]), one.version)
    return found


if __name__ == "__main__":
    print("\n".join(merge(Path(sys.argv[1]).read_text(encoding="utf-8"), installed())))
