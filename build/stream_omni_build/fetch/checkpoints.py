"""The checkpoints that are downloaded: where they are published, which of their files, and what makes one complete."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stream_omni.checkpoint_files import MODEL_DIRECTORY, CheckpointError, Settings
from stream_omni.cosyvoice_checkpoint import CONFIGURATION, SPEECH_TOKENIZER, VOICES
from stream_omni.pickled_tensors import read_pickle
from stream_omni.tensor_files import read_tensor_index

_SOURCE = re.compile(r"(hf|ms):([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_PICKLES = ("flow.pt", "hift.pt", VOICES)


@dataclass(frozen=True)
class Source:
    """A repository of a hub: ``hub`` is "hf" (Hugging Face) or "ms" (ModelScope)."""

    hub: str
    repository: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """From HUB:OWNER/NAME[@REVISION]. Raises ValueError."""
        found = _SOURCE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no HUB:OWNER/NAME or HUB:OWNER/NAME@REVISION, where HUB is hf or ms")
        hub, repository, revision = found.groups()
        return cls(hub, repository, revision or {"hf": "main", "ms": "master"}[hub])

    def __str__(self) -> str:
        return f"{self.hub}:{self.repository}@{self.revision}"


@dataclass(frozen=True)
class Checkpoint:
    """``folder`` below the directory of the download; ``patterns`` of the files that are read, and of its terms;
    ``needed``: without these it is none."""

    folder: str
    source: Source
    patterns: tuple[str, ...]
    needed: tuple[str, ...]

    def wants(self, path: str) -> bool:
        """Never what would lie outside of the folder."""
        inside = ".." not in path and not path.startswith("/")
        return inside and any(fnmatchcase(path, pattern) for pattern in self.patterns)


_TERMS = ("README.md", "LICENSE*", "NOTICE*", "USE_POLICY*")
# The vision tower's weights are among these, so that no SigLIP has to be fetched.
STREAM_OMNI = Checkpoint(
    "stream-omni-8b",
    Source("hf", "ICTNLP/stream-omni-8b", "main"),
    ("*.json", "*.safetensors", "*.jinja", *_TERMS),
    ("config.json", "tokenizer.json", "tokenizer_config.json"),
)
# Without CosyVoice's own language model and its other parts, which Stream-Omni does not use.
COSYVOICE = Checkpoint(
    "CosyVoice-300M-25Hz",
    Source("ms", "iic/CosyVoice-300M-25Hz", "master"),
    (CONFIGURATION, *_PICKLES, SPEECH_TOKENIZER, *_TERMS),
    (CONFIGURATION, *_PICKLES, SPEECH_TOKENIZER),
)


def require_files(checkpoint: Checkpoint, place: object, paths: Iterable[str]) -> None:
    """Raises CheckpointError where a list of files, of a hub or of a disk, is of no such checkpoint."""
    held = set(paths)
    if missing := [name for name in checkpoint.needed if name not in held]:
        told = f": {MODEL_DIRECTORY}" if checkpoint.folder == STREAM_OMNI.folder else ""
        raise CheckpointError(f"{place} lacks {', '.join(missing)}{told}")


def check_content(checkpoint: Checkpoint, directory: Path) -> None:
    """Whether the files are what a build reads: all there, each tensor within its file. Values are not read.

    Raises CheckpointError.
    """
    require_files(checkpoint, directory, (path.name for path in directory.iterdir()))
    if checkpoint.folder == STREAM_OMNI.folder:
        Settings.read(directory / "config.json")
        read_tensor_index(directory)
    else:
        for name in _PICKLES:
            read_pickle(directory / name)
