"""``/v1/models``: the one model that there is, under its names, with the voices and limits that it has."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from stream_omni_client.gateway.gateway import Gateway, gateway_of
from stream_omni_client.gateway.model_names import check_model


def routes() -> list[BaseRoute]:
    return [Route("/v1/models", _list), Route("/v1/models/{model:path}", _retrieve)]


async def _list(request: Request) -> Response:
    gateway = gateway_of(request)
    names = (gateway.settings.model, *gateway.settings.aliases)
    return JSONResponse({"object": "list", "data": [await _model(name, gateway) for name in names]})


async def _retrieve(request: Request) -> Response:
    gateway, name = gateway_of(request), request.path_params["model"]
    check_model(name, gateway.settings)
    return JSONResponse(await _model(name, gateway))


async def _model(name: str, gateway: Gateway) -> dict[str, Any]:
    """OpenAI's fields, and ours: ``voices`` and ``limits``."""
    info = await gateway.server_info()
    return {
        "id": name,
        "object": "model",
        "created": gateway.started,
        "owned_by": "stream-omni",
        "voices": list(info["voices"]),
        "limits": info["limits"],
    }
