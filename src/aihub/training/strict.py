"""Pydantic models that refuse unknown fields and speak in `ConfigError`, with the field's path and the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import ValidationError as PydanticError

from aihub.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ModelWrapValidatorHandler

_SHOWN_CHARS = 60


class StrictModel(BaseModel):
    """A frozen model whose every complaint is a `ConfigError` that names the field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _complain_in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            model = handler(data)
        except PydanticError as error:
            raise _as_config_error(error, cls.model_fields) from None
        # Here and not as an "after" validator: pydantic would run a subclass's outside of this one.
        model.check_agreement()
        return model

    def check_agreement(self) -> None:
        """Compare fields with each other; a subclass raises `ConfigError` where they contradict."""


def _as_config_error(error: PydanticError, known: Iterable[str]) -> ConfigError:
    # A misspelt field is also a missing one; the spelling is the better hint.
    errors = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    first = errors[0]
    path = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    kind = first["type"]
    if kind == "extra_forbidden":
        return ConfigError(
            f"unknown field {path!r}.{did_you_mean(path, known)} Rename or remove it.", field=path
        )
    if kind == "missing":
        return ConfigError(f"field {path!r} is missing. Add it.", field=path)
    message = str(first["msg"]).removeprefix("Value error, ")
    sent = "" if kind == "value_error" else f" (got {_shown(first.get('input'))})"
    where = f"field {path!r}: " if path else ""
    ending = "" if message.endswith(".") else f"{sent}. Correct it in the configuration."
    return ConfigError(f"{where}{message}{ending}", field=path or None)


def _is_branch(part: int | str) -> bool:
    """Pydantic puts the name of a union's branch into the path (``lags.list[int].0``); a reader does not know it."""
    return isinstance(part, str) and (
        "[" in part or part in {"int", "str", "float", "bool", "literal['auto']", "function-after"}
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
