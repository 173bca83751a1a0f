"""Pictures from outside: decoding of untrusted bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from stream_omni.request_error import RequestError

_FORMATS = ("JPEG", "PNG", "WEBP")
# A progressive JPEG has about ten scans, its preview some. Each costs a pass over all pixels, and few bytes make one
_MAX_SCANS = 100
_SCAN = b"\xff\xda"  # in a scan's own data no such bytes can stand


class ImageError(RequestError):
    """A picture that is refused. The message is one sentence: what is wrong, the limit, the mend."""


@dataclass(frozen=True)
class ImageLimits:
    """A 48-megapixel photograph (8064 x 6048) passes. Sides count because layout "pad" makes the picture square."""

    max_pixels: int = 50_000_000
    max_side_px: int = 8192


DEFAULT_LIMITS = ImageLimits()


def decode_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """The picture as mode RGB. Like the reference, alpha is dropped and an EXIF orientation is not applied.

    Size and frame count are checked on the header, before any pixel is decoded. Raises ImageError for anything but one
    whole, still JPEG, PNG or WebP picture within the limits.
    """
    _check_header(data, limits)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _to_eight_bits(image).convert("RGB")
    except Exception as error:  # the decoders meet untrusted bytes with exceptions of many types
        raise _damaged() from error


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Of a grey PNG with 16 bits a pixel, which Pillow would clip at 255: nearly all of it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _check_header(data: bytes, limits: ImageLimits) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            size, kind = image.size, image.format
            frames = getattr(image, "n_frames", 1)
            if _within(size, limits):
                image.verify()  # checksums of a PNG, which decoding itself does not compare
    except UnidentifiedImageError as error:
        raise ImageError(
            "the picture is not a whole JPEG, PNG or WebP file; send one of these three formats"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own, far higher limits
        raise ImageError(
            f"the picture has far more than the limit of {limits.max_pixels} pixels; send a smaller one"
        ) from error
    except Exception as error:
        raise _damaged() from error
    scans = data.count(_SCAN) if kind in ("JPEG", "MPO") else 1
    if scans > _MAX_SCANS:
        raise ImageError(f"the picture is a JPEG of {scans} scans, the limit is {_MAX_SCANS}; save it anew")
    if not _within(size, limits):
        raise ImageError(
            f"the picture has {size[0]} x {size[1]} pixels, the limit is {limits.max_pixels} pixels and "
            f"{limits.max_side_px} on a side; send a smaller one"
        )
    # A camera's JPEG may carry a second picture (MPO) without being an animation: its first is the photograph.
    if frames > 1 and kind in ("PNG", "WEBP"):
        raise ImageError(f"the picture is an animation of {frames} frames, the limit is one; send a single frame")


def _within(size: tuple[int, int], limits: ImageLimits) -> bool:
    return size[0] * size[1] <= limits.max_pixels and max(size) <= limits.max_side_px


def _damaged() -> ImageError:
    return ImageError("the picture is truncated or corrupt and cannot be decoded; send the whole file")
