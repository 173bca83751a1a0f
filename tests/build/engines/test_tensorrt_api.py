"""Every TensorRT name that our code touches exists in all releases that it shall run with."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import stream_omni_build
import stream_omni_build.engines as engines

import stream_omni.runtime.tensorrt_runtime as runtime

API = Path(__file__).parents[2] / "fixtures" / "tensorrt_api"
RELEASES = sorted(path.stem for path in API.glob("*.json"))
FILES = [
    *(
        Path(engines.__path__[0]) / name
        for name in ("compile_plan.py", "tensorrt_api.py", "tensorrt_maker.py", "gpu.py")
    ),
    Path(engines.__path__[0]) / "tensorrt_runner.py",
    Path(str(runtime.__file__)),
]
# our names of TensorRT's objects, wherever they stand in FILES
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "made_profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "context": "IExecutionContext",
    "_engine": "ICudaEngine",
    "_runtime": "Runtime",
    "error": "ParserError",
}
# what is not in the lists: the module's own version, and constructors that bindings hand down
MODULE_WIDE = {"__version__", "__name__"}
OURS = {"words"}  # methods that only our own code calls


def touched(path: Path) -> list[tuple[str, str]]:
    """(class, attribute) pairs; a class by itself has the attribute ""."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
        if name in ("trt", "_trt") and node.attr not in MODULE_WIDE:
            found.append((node.attr, ""))
        elif isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "trt":
            if node.attr != "__init__":
                found.append((owner.attr, node.attr))
        elif name in CLASSES:
            found.append((CLASSES[name], node.attr))
    return found


def overridden(path: Path) -> list[tuple[str, str]]:
    """(class, method) of what our classes override of TensorRT's: a method under another name would never be called."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            bases = [b.attr for b in node.bases if isinstance(b, ast.Attribute) and getattr(b.value, "id", "") == "trt"]
            methods = [m.name for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
            found += [(base, method) for base in bases for method in methods if method not in OURS]
    return found


def missing(pairs: list[tuple[str, str]], release: str) -> list[str]:
    classes = json.loads((API / f"{release}.json").read_text())["classes"]
    return sorted({f"{c}.{a}" for c, a in pairs if c not in classes or (a and a not in classes[c])})


@pytest.mark.parametrize("release", RELEASES)
def test_every_name_exists_in(release: str) -> None:
    pairs = [pair for path in FILES for pair in touched(path)]
    assert len(set(pairs)) > 30
    assert not missing(pairs, release)
    methods = [pair for path in FILES for pair in overridden(path)]
    assert {base for base, _ in methods} == {"ILogger", "IProgressMonitor", "IStreamWriter"}
    assert not missing(methods, release)


def test_the_three_releases_are_compared() -> None:
    assert RELEASES == ["10.14.1", "11.4.0", "rtx-1.7.1"]


def test_a_name_that_was_removed_is_found(tmp_path: Path) -> None:
    source = tmp_path / "old.py"
    source.write_text("builder.platform_has_fast_fp16\ntrt.BuilderFlag.FP16\nconfig.set_flag(trt.BuilderFlag.TF32)\n")
    pairs = touched(source)
    assert missing(pairs, "11.4.0") == ["Builder.platform_has_fast_fp16", "BuilderFlag.FP16"]
    assert missing(pairs, "10.14.1") == []
    source.write_text("class Writer(trt.IStreamWriter):\n    def put(self, data): ...\n")
    assert missing(overridden(source), "11.4.0") == ["IStreamWriter.put"]


def test_no_other_file_touches_tensorrt() -> None:
    """Else the lists above would not see it."""
    packages = [Path(stream_omni_build.__path__[0]), Path(str(runtime.__file__)).parents[1]]
    users = {p for package in packages for p in package.rglob("*.py") if "trt." in p.read_text(encoding="utf-8")}
    assert users <= set(FILES)
