"""The gateway needs its extra, and nothing of the server."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import stream_omni_client.gateway

PACKAGE = Path(stream_omni_client.gateway.__file__ or "").parent
PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {"tritonclient": "grpc"}  # beside the name itself


def test_it_imports_what_the_client_and_its_extra_bring() -> None:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["gateway"]]
    names = {re.split(r"[\[>=<;]", name)[0].replace("-", "_") for name in wanted}
    allowed = names | {IMPORTED_AS.get(name, name) for name in names} | {"stream_omni_client"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in found:
                top = name.partition(".")[0]
                assert top in allowed or top in sys.stdlib_module_names, f"{path.name} imports {name}"
