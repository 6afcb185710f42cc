"""Pydantic models that refuse unknown fields and speak in `ConfigError`, with the field's path and the next step."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import ValidationError as PydanticError
from pydantic_core import PydanticCustomError

from aihub.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ModelWrapValidatorHandler

_SHOWN_CHARS = 60
_Model = TypeVar("_Model", bound="StrictModel")
_OURS = "aihub_config"
_is_within: ContextVar[bool] = ContextVar("is_within", default=False)
"""Whether a model is read as a field of another, which then knows the rest of the path."""


class StrictModel(BaseModel):
    """A frozen model whose every complaint is a `ConfigError` that names the field."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _complain_in_our_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        is_within = _is_within.get()
        token = _is_within.set(True)
        try:
            model = handler(data)
        except PydanticError as error:
            found = _as_config_error(error, cls.model_fields)
        except ConfigError as error:
            found = error
        else:
            try:
                return _agreed(model)
            except ConfigError as error:
                found = error
        finally:
            _is_within.reset(token)
        if is_within:
            # The one form of error to which pydantic adds where it was on its way out.
            raise PydanticCustomError(_OURS, "refused", {"error": found})
        raise found from None

    def check_agreement(self) -> None:
        """Compare fields with each other; a subclass raises `ConfigError` where they contradict."""


def _agreed(model: _Model) -> _Model:
    """Check a model's agreement; what that reads is no field of the model."""
    # Here and not as an "after" validator: pydantic would run a subclass's outside of the one above.
    token = _is_within.set(False)
    try:
        model.check_agreement()
    finally:
        _is_within.reset(token)
    return model


def beneath(path: str, error: ConfigError) -> ConfigError:
    """Return an error of a part of a document as one of the whole: with the path of the part before its own.

    >>> str(beneath("config", ConfigError("field 'horizon' is missing. Add it.", field="horizon")))
    "field 'config.horizon' is missing. Add it."
    """
    if not path:
        return error
    if not error.field:
        return ConfigError(str(error), field=path)
    whole, message = f"{path}.{error.field}", str(error)
    for before in (f"field {error.field!r}", error.field):
        at = message.find(before)
        # A path that stands in the text for itself, not as a part of another word.
        if at == 0 or (at > 0 and before.startswith("field")):
            message = message.replace(before, before.replace(error.field, whole), 1)
            break
    return ConfigError(message, field=whole)


def _as_config_error(error: PydanticError, known: Iterable[str]) -> ConfigError:
    # A misspelt field is also a missing one; the spelling is the better hint.
    # Of the branches of a union the one that is a model of ours says most.
    errors = sorted(
        error.errors(include_url=False), key=lambda one: one["type"] not in ("extra_forbidden", _OURS)
    )
    first = errors[0]
    path = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    kind = first["type"]
    if kind == _OURS:
        return beneath(path, first["ctx"]["error"])
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
