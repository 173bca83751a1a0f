"""``stream-omni build``: a checkpoint to a directory that ``stream-omni serve`` serves."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream_omni.checkpoint import read_model_info
from stream_omni.checkpoint_files import CheckpointError
from stream_omni.runtime.engine_manifest import NOT_REPLAYED, was_replayed
from stream_omni_build.build import OutError, Sources, build
from stream_omni_build.deployment import DEFAULT, DeploymentError, read_deployment, shipped
from stream_omni_build.failures import BuildFailure
from stream_omni_build.parity import ParityError
from stream_omni_build.progress import Progress
from stream_omni_build.ready_graphs import GraphsError
from stream_omni_build.repository import ProfileError, find_profile
from stream_omni_build.weight_plan import NoSpaceError

DESCRIPTION = """\
Make DIR a served model: graphs in ONNX, checked against the networks they come from, the tokenizer and the voices, and
the model repository that Triton loads, with a manifest of what it was made from and what the checks found. DIR can be
moved and copied; it needs neither the checkpoint nor PyTorch.

A build from the same files does nothing. After a change of the profile alone, only the repository is written again.

For a GPU (--target gpu, or gpu-PROFILE) DIR holds TensorRT engines for exactly the GPU and the TensorRT of the machine
that builds them, each checked against ONNX Runtime in fp32; a stage whose precision does not hold is built in a higher
one. In the end all of them together are led through questions that were recorded in fp32. The profiles are small files
that say why: {profiles}. Without a GPU all is done but that.
""".format(profiles=", ".join(shipped()))
EPILOG = """\
examples:
  stream-omni build --checkpoint stream-omni-8b --cosyvoice CosyVoice-300M-25Hz --target cpu --out served
  stream-omni serve --repository served
  stream-omni build --target gpu-1 --estimate --out served
  stream-omni build --checkpoint stream-omni-8b --cosyvoice CosyVoice-300M-25Hz --target gpu-1-24g --out served

without real weights, first:
  stream-omni build random --size tiny --out checkpoints     (see stream-omni build random --help)
"""


_MISTAKES = (
    CheckpointError,
    ProfileError,
    DeploymentError,
    GraphsError,
    ParityError,
    NoSpaceError,
    OutError,
    BuildFailure,
)


def main(argv: list[str]) -> int:
    """Exit code 0 when ``--out`` holds the complete build, 1 when it could not be made."""
    if argv[:1] == ["random"]:
        from stream_omni_build import random_checkpoint  # needs PyTorch

        return random_checkpoint.main(argv[1:])
    arguments = _parse(argv)
    progress = Progress(lambda line: print(line, flush=True))
    try:
        sources = Sources(arguments.checkpoint, arguments.cosyvoice, arguments.graphs)
        if arguments.estimate:
            return _tell_estimate(arguments, progress)
        if arguments.target == "cpu":
            build(sources, find_profile(arguments.profile or "cpu"), arguments.out, progress)
        else:
            _build_gpu(sources, arguments, progress)
    except (*_MISTAKES, OSError) as error:
        print(f"stream-omni build: {error}", file=sys.stderr)
        return 1
    unheld = "" if arguments.target == "cpu" or was_replayed(arguments.out) else f" ({NOT_REPLAYED} as a whole)"
    print(f"{arguments.out} is complete{unheld}; serve it with: stream-omni serve --repository {arguments.out}")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    needed = () if arguments.estimate else ("checkpoint", "cosyvoice", "out")
    if missing := [f"--{name}" for name in needed if getattr(arguments, name) is None]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    if arguments.example and arguments.target == "cpu":
        parser.error("--example is for GPUs: of a CPU's build, stream-omni replay --published asks it")
    if arguments.no_replay and (arguments.example or arguments.target == "cpu"):
        parser.error("--no-replay is for GPUs, and leaves no --example to ask")
    if arguments.estimate and arguments.target == "cpu":
        parser.error("--estimate is for GPUs: give --target gpu, or a profile")
    return arguments


def _tell_estimate(arguments: argparse.Namespace, progress: Progress) -> int:
    """Of the checkpoint, or of the published model where none is given."""
    from stream_omni_build.build_estimate import require_disk, tell_estimate  # needs PyTorch
    from stream_omni_build.gpu_repository import deployed
    from stream_omni_build.hardware_table import table
    from stream_omni_build.published_sizes import PUBLISHED_BYTES, published_info

    info, read_bytes = published_info(), PUBLISHED_BYTES
    if arguments.checkpoint and arguments.cosyvoice:
        info = read_model_info(arguments.checkpoint, arguments.cosyvoice)
        folders = (arguments.checkpoint, arguments.cosyvoice)
        read_bytes = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    deployment = read_deployment(arguments.profile or _deployment_of(arguments.target))
    progress.say(f"{info.name}, in GB\n{table(info, deployment)}\n")
    out = arguments.out or Path()
    disk = tell_estimate(deployed(info, deployment), deployment, out, read_bytes, progress)
    try:
        require_disk(disk, out)
    except NoSpaceError as error:
        progress.say(f"  {error}")
    return 0


def _build_gpu(sources: Sources, arguments: argparse.Namespace, progress: Progress) -> None:
    if arguments.graphs:
        raise DeploymentError("--graphs is for --target cpu: the graphs of a GPU are made for its profile")
    deployment = read_deployment(arguments.profile or _deployment_of(arguments.target))
    from stream_omni_build.gpu_build import build_gpu  # needs PyTorch

    build_gpu(sources, deployment, arguments.out, progress, arguments.example, replayed=not arguments.no_replay)


def _deployment_of(target: str) -> str:
    return DEFAULT if target == "gpu" else target


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni build",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, metavar="DIR", help="a stream-omni-8b directory")
    add("--cosyvoice", type=Path, metavar="DIR", help="a CosyVoice-300M-25Hz directory, for the voice")
    add(
        "--target",
        choices=("cpu", "gpu", *shipped()),
        required=True,
        metavar="NAME",
        help=f"what will run it; cpu: ONNX Runtime; gpu, which is {DEFAULT}, or one of {', '.join(shipped())}",
    )
    add(
        "--graphs",
        type=Path,
        metavar="DIR",
        help="graphs/ of an earlier build for the same sizes and profile: PyTorch is not needed then, and nothing is "
        "compared with it",
    )
    add(
        "--profile",
        metavar="NAME|FILE",
        help="how it is deployed: threads, turns at once, limits (default: as the target)",
    )
    add("--out", type=Path, metavar="DIR", help="where to build; made if missing")
    add(
        "--example",
        type=Path,
        metavar="DIR",
        help="of a GPU: a folder with the cat.jpg and cat_color.wav of the reference's repository; what is built must "
        "give the transcript, the answer and the 38 units that its README prints; below fp32 a difference is told and "
        "refuses nothing",
    )
    add(
        "--no-replay",
        action="store_true",
        help="of a GPU: leave out the replay that ends a build. All engines but TensorRT-LLM's have been checked by "
        "then, each by itself; nothing has held them all together. The manifest says so, and so does serve",
    )
    add(
        "--estimate",
        action="store_true",
        help="build nothing, but say what a GPU profile takes of GPUs, disk, memory and time; without --checkpoint, of "
        "the published model",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
