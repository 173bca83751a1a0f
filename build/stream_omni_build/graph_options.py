"""What a profile may leave out of the networks, and whether the checkpoint allows it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer
from stream_omni_build.progress import Progress
from stream_omni_build.repository import ProfileError, read_profile

FEWEST_ROWS = 16_384  # of a head that is worth screening: a smaller one takes little of a step
_KEEPS_ALL = "the tokenizer does not name the speech units and end ids: the unit head keeps all ids"
_OPTIONS = ("only_units", "screened_heads")


def choose_graphs(info: ModelInfo, checkpoint: Path, profile: Path, progress: Progress) -> ModelInfo:
    """``info`` with the choices of the profile's table [graphs]. Raises ProfileError, CheckpointError."""
    only_units, screened_heads = (_read_options(profile)[name] for name in _OPTIONS)
    tokenizer = _read_tokenizer(checkpoint)
    if only_units and not names_units(tokenizer, info):
        progress.say(_KEEPS_ALL)
        only_units = False
    screened_heads &= info.vocabulary.text_size >= FEWEST_ROWS
    return dataclasses.replace(info, only_units=only_units, screened_heads=screened_heads)


def with_units_alone(info: ModelInfo, checkpoint: Path, progress: Progress) -> ModelInfo:
    """``info`` with a unit head of units and end ids alone, if the checkpoint allows it. Raises CheckpointError."""
    if names_units(_read_tokenizer(checkpoint), info):
        return dataclasses.replace(info, only_units=True)
    progress.say(_KEEPS_ALL)
    return info


def _read_tokenizer(checkpoint: Path) -> Tokenizer:
    try:
        return Tokenizer(checkpoint)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from error


def _read_options(profile: Path) -> dict[str, bool]:
    """The table [graphs], with False for what it leaves out. Raises ProfileError."""
    options = read_profile(profile)["graphs"]
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        raise ProfileError(f"{profile}: [graphs] has no {', '.join(unknown)}")
    for name, value in options.items():
        if not isinstance(value, bool):
            raise ProfileError(f"{profile}: {name} of [graphs] is {value!r}; it must be true or false")
    return {name: options.get(name, False) for name in _OPTIONS}


def names_units(tokenizer: Tokenizer, info: ModelInfo) -> bool:
    """Whether the last rows of the vocabulary are ``<Audio_0>`` onwards, all of them, and the end ids special tokens:
    only then is it certain that no other id means anything in speech."""
    vocabulary = info.vocabulary
    units = [vocabulary.unit_offset + unit for unit in range(vocabulary.units)]
    named = [tokenizer.id_of(f"<Audio_{unit}>") for unit in range(vocabulary.units)]
    further = tokenizer.id_of(f"<Audio_{vocabulary.units}>")
    return named == units and further is None and tokenizer.special_ids.issuperset(vocabulary.eos)
