"""Pictures going in. They travel as they are encoded (JPEG, PNG, WebP); the server decodes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

OneImage: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
ImageInput: TypeAlias = OneImage | Sequence[OneImage]
"""A path, an encoded picture's bytes, an open binary file, or a list of these."""


def read_images(source: ImageInput | None) -> list[bytes]:
    """The encoded pictures, in order. Raises OSError for a file that cannot be read."""
    if source is None:
        return []
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return [_read(image) for image in source]
    return [_read(source)]


def _read(image: OneImage) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, os.PathLike)):
        return Path(image).read_bytes()
    if hasattr(image, "read"):
        return image.read()
    raise TypeError(f"an image is a path, bytes or an open file, not {type(image).__name__}")
