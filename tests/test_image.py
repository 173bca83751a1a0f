from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream_omni.image import ImageError, ImageLimits, decode_image


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def picture(fixtures_dir: Path) -> Image.Image:
    return Image.open(fixtures_dir / "images" / "landscape.png").convert("RGB")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats(picture: Image.Image, kind: str) -> None:
    decoded = decode_image(_encode(picture, kind))
    assert (decoded.mode, decoded.size) == ("RGB", picture.size)
    assert np.abs(np.asarray(decoded, int) - np.asarray(picture, int)).mean() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_other_modes_become_rgb(picture: Image.Image, mode: str) -> None:
    source = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
    decoded = decode_image(_encode(source, "JPEG" if mode == "CMYK" else "PNG"))
    assert (decoded.mode, decoded.size) == ("RGB", picture.size)


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    ramp = np.arange(0, 65536, 256, np.uint16)[None]
    decoded = np.asarray(decode_image(_encode(Image.fromarray(ramp), "PNG")))
    assert np.array_equal(decoded[0], np.arange(256)[:, None].repeat(3, axis=1))


def test_alpha_is_dropped_not_composed() -> None:
    assert decode_image(_encode(Image.new("RGBA", (2, 2), (10, 20, 30, 0)), "PNG")).getpixel((0, 0)) == (10, 20, 30)


def test_exif_orientation_is_left_alone(picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert decode_image(_encode(picture, "JPEG", exif=exif)).size == picture.size


def test_second_picture_of_a_camera_is_no_animation(picture: Image.Image) -> None:
    both = _encode(picture, "MPO", save_all=True, append_images=[picture.resize((64, 48))])
    assert decode_image(both).size == picture.size


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animation_is_refused(picture: Image.Image, kind: str) -> None:
    frames = [picture.rotate(angle) for angle in (90, 180)]
    with pytest.raises(ImageError, match="an animation of 3 frames, the limit is one"):
        decode_image(_encode(picture, kind, save_all=True, append_images=frames))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused(picture: Image.Image, kind: str) -> None:
    with pytest.raises(ImageError, match="JPEG, PNG or WebP"):
        decode_image(_encode(picture, kind))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBP"])
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_truncated(picture: Image.Image, kind: str, part: float) -> None:
    data = _encode(picture, kind)
    with pytest.raises(ImageError):
        decode_image(data[: int(len(data) * part)])


def test_corrupt(picture: Image.Image) -> None:
    data = bytearray(_encode(picture, "PNG"))
    data[len(data) // 2] ^= 0x55
    with pytest.raises(ImageError, match="truncated or corrupt"):
        decode_image(bytes(data))


def test_limits_name_size_and_limit() -> None:
    data = _encode(Image.new("RGB", (300, 200)), "PNG")
    with pytest.raises(ImageError, match="300 x 200 pixels, the limit is 59999 pixels and 8192 on a side"):
        decode_image(data, ImageLimits(max_pixels=59_999))
    assert decode_image(data, ImageLimits(60_000, max_side_px=300)).size == (300, 200)
    with pytest.raises(ImageError, match="8193 x 1 pixels"):
        decode_image(_encode(Image.new("RGB", (8193, 1)), "PNG"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [10_000, 20_000])  # below and above Pillow's own alarm
def test_bomb_is_refused_before_decoding(side: int) -> None:
    tiny = bytearray(_encode(Image.new("1", (side, 8)), "PNG"))
    # the header now claims a square; were it decoded, the missing rows would be the error
    tiny[20:24] = side.to_bytes(4, "big")
    tiny[29:33] = zlib.crc32(bytes(tiny[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageError, match=r"limit (of|is) 50000000 pixels"):
        decode_image(bytes(tiny))
