"""Pictures going in. They travel as they are encoded (JPEG, PNG, WebP); the server decodes them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image

OneImage: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image"
ImageInput: TypeAlias = "OneImage | Sequence[OneImage]"
"""A path, an encoded picture's bytes, an open binary file, a PIL image, or a list of these."""


def read_images(source: ImageInput | None) -> list[bytes]:
    """The encoded pictures, in order. Raises OSError for a file that cannot be read."""
    if source is None:
        return []
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes, bytearray, memoryview)):
        return [_read(image) for image in source]
    return [_read(source)]


def _read(image: OneImage) -> bytes:
    if isinstance(image, (str, os.PathLike)):
        return Path(image).read_bytes()
    pil = sys.modules.get("PIL.Image")  # no dependency: who has not imported it has no image of it either
    if pil is not None and isinstance(image, pil.Image):
        return _encode(image)
    content = image.read() if hasattr(image, "read") else image
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise TypeError(f"an image is a path, bytes, a file open for bytes, or a PIL image, not {type(content).__name__}")


def _encode(image: Image) -> bytes:
    """As the server would see it: without its alpha, every pixel as it is."""
    content = io.BytesIO()
    image.convert("RGB").save(content, "PNG", compress_level=1)
    return content.getvalue()
