"""What a request brings for its turn, made ready: sounds unpacked, pictures fetched."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from stream_omni_client.audio import read_audio
from stream_omni_client.errors import InvalidRequest
from stream_omni_client.gateway.api_errors import invalid
from stream_omni_client.gateway.gateway import Gateway
from stream_omni_client.gateway.messages import PictureUrl, Sound
from stream_omni_client.gateway.picture_fetching import not_fetched


async def read_sound(sound: Sound, gateway: Gateway) -> tuple[NDArray[np.float32], int]:
    """Samples [N] and their rate in Hz. Raises ApiError."""
    longest_s = gateway.settings.limits.max_question_s
    try:
        return await asyncio.to_thread(read_audio, sound.content, longest_s)
    except InvalidRequest as error:
        raise invalid(f"{sound.path}: {error}", sound.path, "invalid_audio") from None


async def read_pictures(pictures: tuple[bytes | PictureUrl, ...], gateway: Gateway) -> list[bytes]:
    """Encoded files, in order. Raises ApiError, StreamOmniError."""
    if not pictures:
        return []
    most = (await gateway.server_info())["limits"]["max_pictures"]
    if len(pictures) > most:  # before any of them is fetched
        raise invalid(f"there are {len(pictures)} pictures in all messages; the limit is {most}", "messages")
    return [await _read_picture(picture, gateway) for picture in pictures]


async def _read_picture(picture: bytes | PictureUrl, gateway: Gateway) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if gateway.fetcher is None:
        raise not_fetched(picture.path)
    return await gateway.fetcher.fetch(picture.url, picture.path)
