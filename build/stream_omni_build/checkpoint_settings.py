"""The files of a Stream-Omni directory beside its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from stream_omni_build.random_configs import generation_config, model_config, vision_config
from stream_omni_build.random_sizes import RandomSize
from stream_omni_build.random_tokenizer import TokenRoles, tokenizer_config


def write_language_settings(
    folder: Path, size: RandomSize, roles: TokenRoles, tokenizer: Tokenizer, **more: object
) -> None:
    """``more`` are entries of config.json that replace those of the size, or come on top of them."""
    write_json(folder / "config.json", model_config(size, roles) | more)
    write_json(folder / "generation_config.json", generation_config(roles))
    write_json(folder / "tokenizer_config.json", tokenizer_config(size))
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    if "/" not in size.vision_folder:  # else the name of a published tower, whose sizes are known
        (folder / size.vision_folder).mkdir()
        write_json(folder / size.vision_folder / "config.json", vision_config(size))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
