"""Base64, alone and in data URLs, as requests carry sounds and pictures."""

from __future__ import annotations

import base64
import binascii

from stream_omni_client.gateway.api_errors import invalid


def decode_base64(text: str, path: str) -> bytes:
    """Raises ApiError."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # a ValueError: characters beyond ASCII
        raise invalid(f"{path} is not base64", path, "invalid_base64") from None
    if not content:
        raise invalid(f"{path} is empty", path, "invalid_base64")
    return content


def decode_data_url(url: str, path: str) -> bytes:
    """Raises ApiError."""
    head, comma, content = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise invalid(f"{path} is no data URL of base64: data:image/png;base64,...", path, "invalid_image_url")
    return decode_base64(content, path)
