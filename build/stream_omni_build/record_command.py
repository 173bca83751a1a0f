"""``stream-omni record``: pin what a checkpoint computes today, to be replayed after an upgrade."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.replay.cases import Case, CaseError, read_cases
from stream_omni.replay.record import Recording, record_again, record_question
from stream_omni.replay.run import Installation, not_applicable
from stream_omni.runtime.onnx_runtime import OnnxSession
from stream_omni.tokenizer import Tokenizer
from stream_omni_build.replay_command import Chosen, add_checkpoint_arguments, open_installation

_SWITCHES = ("image_aspect_ratio", "mm_patch_merge_type", "image_grid_pinpoints")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the cases are written, 2 for what cannot be recorded."""
    arguments = make_parser().parse_args(argv)
    torch.set_num_threads(1)  # replay does likewise: sums in another order may flip close calls
    try:
        chosen = Chosen(arguments.runtime)
        with open_installation(arguments.checkpoint, arguments.cosyvoice, chosen, arguments.like) as installation:
            cases = _again(arguments, installation) if arguments.like else _asked(arguments, installation)
            for case in cases:
                case.save()
                print(f"recorded {case.name}: {case.mode}", flush=True)
            skipped = np.flatnonzero(~installation.model.speakable).astype(np.int64)
            np.save(arguments.out / "skip_ids.npy", skipped)
    except (CheckpointError, CaseError, FileNotFoundError, ValueError) as error:
        print(f"stream-omni record: {error}", file=sys.stderr)
        return 2
    print(f"{len(cases)} cases in {arguments.out}; replay them with: stream-omni replay --cases {arguments.out} ...")
    return 0


def _again(arguments: argparse.Namespace, installation: Installation) -> list[Case]:
    cases = [case for case in read_cases(arguments.like) if not not_applicable(case, installation)]
    if not cases:
        raise CaseError(f"no case of {arguments.like} applies to this checkpoint")
    return [record_again(case, installation, arguments.out) for case in cases]


def _asked(arguments: argparse.Namespace, installation: Installation) -> list[Case]:
    recording = Recording(
        arguments.name,
        arguments.text,
        arguments.audio,
        arguments.image,
        arguments.output == "speech",
        arguments.max_new_tokens,
    )
    config = json.loads((arguments.checkpoint / "config.json").read_text(encoding="utf-8"))
    tokenizer = None
    if arguments.audio and arguments.cosyvoice:
        tokenizer = OnnxSession(arguments.cosyvoice / "speech_tokenizer_v1.onnx")
    return record_question(
        recording,
        installation,
        Tokenizer(arguments.checkpoint),
        {name: config.get(name) for name in _SWITCHES},
        tokenizer,
        arguments.out,
    )


def _case_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise argparse.ArgumentTypeError(f"{value!r} names a file: use letters, digits, '_', '-' and '.'")
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stream-omni record",
        description="Record what a checkpoint computes, as cases that `stream-omni replay` compares: "
        "before an upgrade, to be sure after it.",
        epilog="example: stream-omni record --checkpoint stream-omni-8b --cosyvoice CosyVoice-300M-25Hz --out pinned "
        "--audio question.wav --image cat.jpg --output speech --name cat",
    )
    add_checkpoint_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="cases are added to this folder")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--text", help="a written question")
    asked.add_argument("--audio", type=Path, metavar="FILE", help="a spoken question, mono (needs --cosyvoice)")
    asked.add_argument("--like", type=Path, metavar="DIR", help="the inputs of the cases in this folder")
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture that the question is about")
    parser.add_argument("--output", choices=("text", "speech"), default="text", help="default: %(default)s")
    parser.add_argument("--name", type=_case_name, default="turn", help="of the case (default: %(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="default: %(default)s")
    return parser
