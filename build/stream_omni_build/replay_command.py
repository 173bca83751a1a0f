"""``stream-omni replay``: does this installation still compute what was recorded?"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.cosyvoice_checkpoint import read_voices
from stream_omni.model_info import ModelInfo
from stream_omni.replay.cases import CaseError, read_cases, speakable_of
from stream_omni.replay.language import Model
from stream_omni.replay.run import Installation, replay
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.session import Array
from stream_omni.runtime.torch_runtime import TorchRuntime
from stream_omni.tensor_files import CheckpointTensors
from stream_omni.tokenizer import Tokenizer, speakable_mask
from stream_omni_build.export import export_graphs

RUNTIMES = ("torch", "onnxruntime")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 only if every applicable case holds and there is one; 1 if not; 2 for what cannot be read."""
    arguments = make_parser().parse_args(argv)
    torch.set_num_threads(1)  # as the cases were recorded: sums in another order may flip close calls
    try:
        cases = read_cases(arguments.cases)
        with open_installation(
            arguments.checkpoint, arguments.cosyvoice, arguments.runtime, arguments.cases
        ) as installation:
            summary = replay(cases, installation, report=lambda line: print(line, flush=True))
    except (CheckpointError, CaseError, FileNotFoundError) as error:
        print(f"stream-omni replay: {error}", file=sys.stderr)
        return 2
    print(summary.line())
    return 0 if summary.ok else 1


@contextmanager
def open_installation(
    checkpoint: Path, cosyvoice: Path | None, runtime: str, cases: Path | None = None
) -> Iterator[Installation]:
    """The checkpoint behind a runtime; "onnxruntime" exports its graphs first, to a place that is removed afterwards.

    The speakable ids are the checkpoint's tokenizer's; without one, those of ``cases``.
    """
    with tempfile.TemporaryDirectory(prefix="stream-omni-replay-") as scratch:
        opened = _open_runtime(checkpoint, cosyvoice, runtime, Path(scratch))
        info = opened.info
        table = CheckpointTensors(checkpoint)

        def rows(name: str, ids: Array) -> Array:
            found: Array = table.get(name)[ids]
            return found

        model = Model(
            info,
            opened,
            _speakable(checkpoint, info, cases),
            table.get("model.image_newline"),
            rows,
        )
        voices = None
        if cosyvoice is not None and info.flow is not None:
            voices = read_voices(cosyvoice / "spk2info.pt", info.flow.speaker_size)
        yield Installation(model, voices)


def _open_runtime(checkpoint: Path, cosyvoice: Path | None, runtime: str, scratch: Path) -> TorchRuntime | OnnxRuntime:
    if runtime == "torch":
        return TorchRuntime(checkpoint, cosyvoice)
    export_graphs(checkpoint, cosyvoice, scratch)
    return OnnxRuntime(scratch)


def _speakable(checkpoint: Path, info: ModelInfo, cases: Path | None) -> Array:
    rows = info.vocabulary.text_size
    if (checkpoint / "tokenizer.json").is_file():
        return speakable_mask(Tokenizer(checkpoint), rows)
    if cases is None:
        raise CaseError(f"{checkpoint} has no tokenizer.json, which tells what can be spoken")
    return speakable_of(cases, rows)


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="a stream-omni-8b directory")
    parser.add_argument("--cosyvoice", type=Path, metavar="DIR", help="a CosyVoice-300M-25Hz directory, for the voice")
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default=RUNTIMES[0],
        help="torch: the networks as they are; onnxruntime: exported graphs, as served (default: %(default)s)",
    )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni replay",
        description="Replay recorded cases and compare every recorded value. One line a case, then the counts. "
        "Exit code 0 only if all applicable cases hold.",
        epilog="A case that was recorded with another text vocabulary is named and not counted.",
    )
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--cases",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder that holds cases/, images/ and skip_ids.npy",
    )
    return parser
