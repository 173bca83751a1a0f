"""docs/production.md lists the code that has never run on a GPU: every module that touches one, and no other file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("stream_omni", "build/stream_omni_build", "model_repository", "client", "benchmarks")
PACKAGES = ("tensorrt", "tensorrt_llm", "flash_attn")  # that only machines with a GPU have
LOADERS = {"import_module", "find_spec", "load"}  # what takes their names as words
NAMES = {"trt", "_trt"}  # what TensorRT's module is called in our code


def touches_a_gpu(source: str) -> bool:
    """Whether a module names CUDA, or what there is only beside it, in its code: not in comments and docstrings."""
    return any(touches(node) for node in ast.walk(ast.parse(source)))


def touches(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(is_theirs(alias.name) for alias in names)
        case ast.ImportFrom(module=str(name), level=0):
            return is_theirs(name)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in LOADERS:
            words = [word.value for word in ast.walk(node) if isinstance(word, ast.Constant)]
            return any(is_theirs(word) for word in words if isinstance(word, str))
        case ast.Name(id=name) | ast.arg(arg=name):
            return name in NAMES
        case ast.Attribute(attr=name):
            return name in NAMES or name == "cuda"
        case ast.Constant(value=str(text)):
            return text == "cuda" or text.startswith("cuda:")  # a device's name
    return False


def is_theirs(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def listed() -> str:
    """The rows of the list."""
    text = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    return text.partition("| file | what has never run |")[2].partition("\n\n")[0]


def named() -> set[str]:
    """Files at the rows' beginnings, by the end of their paths."""
    rows = (row.split("|")[1] for row in listed().splitlines() if row.startswith("| `"))
    return {name for row in rows for name in re.findall(r"`([\w./-]+)`", row)}


def gpu_modules() -> list[Path]:
    modules = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in modules if touches_a_gpu(path.read_text(encoding="utf-8"))]


def test_every_module_that_touches_a_gpu_is_listed() -> None:
    found = gpu_modules()
    assert len(found) > 10
    missing = [path for path in found if not any(path.as_posix().endswith(f"/{name}") for name in named())]
    assert not missing, "docs/production.md does not say what of them has never run"


def test_what_is_listed_exists() -> None:
    files = [path.as_posix() for folder in (*FOLDERS, "tests") for path in (ROOT / folder).rglob("*")]
    assert len(named()) > 12
    assert not [name for name in named() if not any(file.endswith(f"/{name}") for file in files)]


@pytest.mark.parametrize(
    ("source", "touches"),
    [
        ("import torch\nprint(torch.cuda.is_available())", True),
        ("from tensorrt_llm.models import LLaMAForCausalLM", True),
        ("def load():\n    return import_module('flash_attn')", True),
        ("def look(trt):\n    return trt.Builder", True),
        ("device = f'cuda:{gpu}'", True),
        ('"""Runs on cuda, by tensorrt."""\nENGINE = "tensorrt"  # of a stage', False),
    ],
)
def test_what_touching_is(source: str, touches: bool) -> None:
    assert touches_a_gpu(source) == touches
