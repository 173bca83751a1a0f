"""``stream-omni replay``: does this installation still compute what was recorded?"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from stream_omni.assets import Assets
from stream_omni.checkpoint_files import CheckpointError
from stream_omni.cosyvoice_checkpoint import read_voices
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF
from stream_omni.replay.cases import CaseError, read_cases, speakable_of
from stream_omni.replay.language import Model
from stream_omni.replay.published_example import ask, compare_published
from stream_omni.replay.run import Installation, replay
from stream_omni.runtime.engine_manifest import EngineMismatchError
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.torch_runtime import Device, TorchRuntime, type_of
from stream_omni.tensor_files import CheckpointTensors
from stream_omni.tokenizer import Tokenizer, speakable_mask
from stream_omni.turn import InProcess
from stream_omni_build.built_runtime import BuiltRuntime
from stream_omni_build.export import export_graphs
from stream_omni_build.plain_llama import open_plain

RUNTIMES = ("torch", "onnxruntime")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 only if every applicable case holds and there is one; 1 if not; 2 for what cannot be read."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.published and not arguments.repository:
        parser.error("--published asks a whole turn of what is built: it needs --repository")
    torch.set_num_threads(1)  # as the cases were recorded: sums in another order may flip close calls
    try:
        if arguments.published:
            return _ask_published(arguments.repository, arguments.published)
        cases = read_cases(arguments.cases)
        chosen = Chosen(arguments.runtime, arguments.device, arguments.precision, arguments.repository)
        with open_installation(arguments.checkpoint, arguments.cosyvoice, chosen, arguments.cases) as installation:
            summary = replay(cases, installation, report=lambda line: print(line, flush=True))
    except (CheckpointError, CaseError, EngineMismatchError, FileNotFoundError) as error:
        print(f"stream-omni replay: {error}", file=sys.stderr)
        return 2
    print(summary.line())
    return 0 if summary.ok else 1


@dataclass(frozen=True)
class Chosen:
    """What is compared: a runtime over the checkpoint (PyTorch's perhaps on a ``device``, in a ``precision``), or what
    is built in the directory ``repository``."""

    runtime: str = RUNTIMES[0]
    device: str | None = None
    precision: str | None = None
    repository: Path | None = None


@contextmanager
def open_installation(
    checkpoint: Path, cosyvoice: Path | None, chosen: Chosen, cases: Path | None = None
) -> Iterator[Installation]:
    """The checkpoint behind a runtime; "onnxruntime" exports its graphs first, to a place that is removed afterwards.

    The speakable ids are the checkpoint's tokenizer's; without one, those of ``cases``.
    """
    with tempfile.TemporaryDirectory(prefix="stream-omni-replay-") as scratch:
        opened, precision = _open_runtime(checkpoint, cosyvoice, chosen, Path(scratch))
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
        plain = None
        if precision not in (None, "fp32"):
            plain = open_plain(info, table, precision, checkpoint)
        yield Installation(model, voices, precision, plain)


def _open_runtime(
    checkpoint: Path, cosyvoice: Path | None, chosen: Chosen, scratch: Path
) -> tuple[TorchRuntime | OnnxRuntime | MixedRuntime | BuiltRuntime, str | None]:
    """And the precision to compare in; None: exactly."""
    if chosen.repository is not None:
        built = BuiltRuntime(chosen.repository)
        return built, built.precision
    if chosen.runtime == "onnxruntime":
        export_graphs(checkpoint, cosyvoice, scratch)
        return OnnxRuntime(scratch), None
    if chosen.device is None and chosen.precision is None:
        return TorchRuntime(checkpoint, cosyvoice), None
    device, precision = chosen.device or "cpu", chosen.precision or "fp32"
    if precision == "fp32":
        return TorchRuntime(checkpoint, cosyvoice, Device(device)), None
    return MixedRuntime(checkpoint, cosyvoice, device, precision), precision


class MixedRuntime:
    """PyTorch on a device as the profile gpu-torch has it: the voice in float32, all else in ``precision``."""

    def __init__(self, checkpoint: Path, cosyvoice: Path | None, device: str, precision: str) -> None:
        self._language = TorchRuntime(checkpoint, cosyvoice, Device(device, type_of(precision)))
        self._voice = TorchRuntime(checkpoint, cosyvoice, Device(device))
        self.info = self._language.info

    def session(self, graph: str) -> Session:
        return (self._language if SOURCE_OF.get(graph) == "model" else self._voice).session(graph)


def _ask_published(repository: Path, folder: Path) -> int:
    built = BuiltRuntime(repository)
    with InProcess(built, Assets.load(repository)) as turns:
        result = compare_published(ask(turns, folder), built.precision)
    print(result.line())
    return 0 if result.ok else 1


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


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--device",
        metavar="NAME",
        help="of --runtime torch: cuda:0 and so on, or cpu (default: the CPU reference)",
    )
    add(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        help="of --runtime torch on a device: of matrices and products; the voice stays in fp32. Below fp32 each step "
        "is given the recorded ids and asked for its own choice",
    )
    add(
        "--repository",
        type=Path,
        metavar="DIR",
        help="what stream-omni build made of this checkpoint, in place of a runtime: each stage as it is served",
    )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni replay",
        description="Replay recorded cases and compare every recorded value. One line a case, then the counts. "
        "Exit code 0 only if all applicable cases hold.",
        epilog="A case that was recorded with another text vocabulary is named and not counted.",
    )
    add_checkpoint_arguments(parser)
    add_device_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--published",
        type=Path,
        metavar="DIR",
        help="the reference's own example: DIR holds its cat.jpg and cat_color.wav; a turn is run on --repository and "
        "held against the transcript, the answer and the 38 units that its README prints; below fp32 a difference is "
        "told and refuses nothing",
    )
    what.add_argument(
        "--cases",
        type=Path,
        metavar="DIR",
        help="the folder that holds cases/, images/ and skip_ids.npy",
    )
    return parser
