"""The names that callers give the served model."""

from __future__ import annotations

from stream_omni_client.gateway.api_errors import ApiError
from stream_omni_client.gateway.settings import Settings


def check_model(name: str, settings: Settings) -> None:
    """Raises ApiError (404)."""
    if name not in (settings.model, *settings.aliases):
        message = f"The model {name[:80]!r} does not exist here; this gateway serves {settings.model!r}."
        raise ApiError(404, message, param="model", code="model_not_found")
