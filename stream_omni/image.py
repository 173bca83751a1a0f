"""Pictures from outside: decoding of untrusted bytes."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 50_000_000  # a 48-megapixel photograph (8064 x 6048) passes
_MAX_SIDE_PX = 8192  # the layout "pad" makes a square of the longer side
_FORMATS = ("JPEG", "PNG", "WEBP")


class ImageError(ValueError):
    """A picture that is refused. The message is one sentence: what is wrong, the limit, the mend."""


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture as mode RGB. Like the reference, alpha is dropped and an EXIF orientation is not applied.

    Size and frame count are checked on the header, before any pixel is decoded. Raises ImageError for anything but one
    whole, still JPEG, PNG or WebP picture within the limits.
    """
    _check_header(data, max_pixels)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.convert("RGB")
    except Exception as error:  # the decoders meet untrusted bytes with exceptions of many types
        raise _damaged() from error


def _check_header(data: bytes, max_pixels: int) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            size, kind = image.size, image.format
            frames = getattr(image, "n_frames", 1)
            if _within(size, max_pixels):
                image.verify()  # checksums of a PNG, which decoding itself does not compare
    except UnidentifiedImageError as error:
        raise ImageError(
            "the picture is not a whole JPEG, PNG or WebP file; send one of these three formats"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own, far higher limits
        raise ImageError(
            f"the picture has far more than the limit of {max_pixels} pixels; send a smaller one"
        ) from error
    except Exception as error:
        raise _damaged() from error
    if not _within(size, max_pixels):
        raise ImageError(
            f"the picture has {size[0]} x {size[1]} pixels, the limit is {max_pixels} pixels and "
            f"{_MAX_SIDE_PX} on a side; send a smaller one"
        )
    # A camera's JPEG may carry a second picture (MPO) without being an animation: its first is the photograph.
    if frames > 1 and kind in ("PNG", "WEBP"):
        raise ImageError(f"the picture is an animation of {frames} frames, the limit is one; send a single frame")


def _within(size: tuple[int, int], max_pixels: int) -> bool:
    return size[0] * size[1] <= max_pixels and max(size) <= _MAX_SIDE_PX


def _damaged() -> ImageError:
    return ImageError("the picture is truncated or corrupt and cannot be decoded; send the whole file")
