"""A JSON object of a request, read field by field: what is missing, of another type or unknown is told by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_omni_client.gateway.api_errors import ApiError, invalid


class Fields:
    """``path`` is where the object stands in the request, such as ``messages[0].``. All methods raise ApiError; a field
    that is null is absent, as openai's package has it."""

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self._nulls = values.keys() - self._values.keys()
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def is_null(self, name: str) -> bool:
        """For fields that null turns off."""
        return name in self._nulls

    def path(self, name: str) -> str:
        return f"{self._path}{name}"

    def refuse_unknown(self, known: set[str]) -> None:
        """Rather than leave undone what the caller thinks is done."""
        for name in self._values:
            if name not in known:
                path = self.path(name)[:100]
                raise invalid(f"Unrecognized request argument supplied: {path}", path, "unknown_parameter")

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, "a string")

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self.missing(name)
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is None or value in choices:
            return value
        raise invalid(f"{self.path(name)} is {value[:40]!r}; it can be {', '.join(choices)}", self.path(name))

    def boolean(self, name: str) -> bool:
        """False where absent."""
        value = self._values.get(name, False)
        if isinstance(value, bool):
            return value
        raise self._wrong(name, "true or false")

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number")
        return int(self._between(name, value, low, high))

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self._wrong(name, "a number")
        return float(self._between(name, value, low, high))

    def items(self, name: str) -> list[Any]:
        """An empty list where absent."""
        value = self._values.get(name, [])
        if isinstance(value, list):
            return value
        raise self._wrong(name, "a list")

    def fields(self, name: str) -> Fields | None:
        value = self._values.get(name)
        return None if value is None else fields_of(value, self.path(name))

    def missing(self, name: str) -> ApiError:
        return invalid(f"{self.path(name)} is missing", self.path(name), "missing_required_parameter")

    def _wrong(self, name: str, wanted: str) -> ApiError:
        return invalid(f"{self.path(name)} is not {wanted}", self.path(name), "invalid_type")

    def _between(self, name: str, value: float, low: float, high: float) -> float:
        if low <= value <= high:
            return value
        told = str(value)[:40]
        raise invalid(f"{self.path(name)} is {told}; it can be {low} to {high}", self.path(name), "invalid_value")


def fields_of(value: Any, path: str) -> Fields:
    """Of what must be an object, at ``path``."""
    if not isinstance(value, dict):
        raise invalid(f"{path} is not an object", path, "invalid_type")
    return Fields(value, f"{path}.")
