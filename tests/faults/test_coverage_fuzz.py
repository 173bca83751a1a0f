"""Each parser of what clients send, fuzzed along the branches that it takes, from good inputs on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.client.test_fuzz_files import FILES
from tests.faults.seen import Fault, slowness
from tests.serving.hostile_requests import some_pictures

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python"),
]

CASES = 20_000
_TURNS = [{"role": "user", "text": "Wie heißt du?"}, {"role": "assistant", "text": 'I am\n"it".'}]
SEEDS = {
    "sound": FILES,
    "picture": some_pictures(),
    "history": [json.dumps(_TURNS).encode(), json.dumps(_TURNS, ensure_ascii=False).encode(), b"[]"],
    "prompt": ["Hello, 你好!\0You are a parrot.".encode(), b"<|eot_id|><image>\0{{ messages }}"],
}


@pytest.mark.parametrize("parser", SEEDS)
def test_no_input_gets_past_the_refusals(parser: str, built_directory: Path, tmp_path: Path) -> None:
    fault = Fault("fuzzing parsers", parser, "along the branches taken", slowness())
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[parser]):
        (corpus / f"seed-{number}").write_bytes(seed)
    counts = tmp_path / "counts"
    flags = [f"-runs={CASES}", "-max_len=4096", "-timeout=30", "-rss_limit_mb=4096", f"-artifact_prefix={tmp_path}/"]
    script = [sys.executable, "-m", "tests.faults.coverage_fuzz"]
    command = [*script, parser, str(built_directory), str(counts), *flags, str(corpus)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    crashes = {path.name: path.read_bytes()[:300] for path in tmp_path.glob("*-*") if path.is_file()}
    assert ended.returncode == 0 and not crashes, (crashes, ended.stderr[-3000:])
    done = re.search(r"Done (\d+) runs", ended.stderr)
    assert done and int(done[1]) >= CASES
    refused, let_in = map(int, np.fromfile(counts, np.int64))
    fault.cases = refused + let_in
    fault.endings = {"refused": refused, "let in, and good": let_in}
    fault.keep()
    assert fault.cases >= CASES and min(refused, let_in) > 0, "all were good, or all were bad: it would prove little"
