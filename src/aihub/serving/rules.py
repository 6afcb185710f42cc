"""What a model's spec says about serving it: section `serving`, kept with every version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from aihub.errors import ConfigError
from aihub.serving.contract import Unseen
from aihub.training.strict import StrictModel

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIGITS = 32


class LogRules(StrictModel):
    """What of a prediction is written down."""

    sample: float = Field(
        default=1.0, ge=0, le=1, description="Share of the predictions that are logged; the rest is counted."
    )
    keep_days: int | None = Field(
        default=None, ge=1, le=36500, description="Days after which the log is deleted; empty: never."
    )
    hash_columns: list[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Columns whose values are replaced by a keyed hash.",
    )
    leave_out: list[str] = Field(
        default_factory=list, max_length=1000, description="Columns that are not logged."
    )


class ServingRules(StrictModel):
    """How a model answers."""

    unseen_categories: Unseen = Field(
        default=Unseen.MISSING,
        description="`missing` counts them as missing values, `refuse` refuses the row.",
    )
    log: LogRules = Field(default_factory=LogRules, description="What of a prediction is written down.")


@dataclass(frozen=True)
class Veil:
    """Replaces what is personal before it is written.

    Attributes
    ----------
    key
        Secret of the hub: without it a hash of a short id is a list of the ids.
    """

    rules: LogRules
    key: bytes

    def features(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that may be written, in the form in which they may be."""
        kept = {name: values for name, values in columns.items() if name not in self.rules.leave_out}
        return {
            name: self.hashed(values) if name in self.rules.hash_columns else values
            for name, values in kept.items()
        }

    def hashed(self, values: Any) -> list[str | None]:
        """Return a keyed hash per value; equal values have equal hashes, missing ones stay missing."""
        return [None if value is None or value != value else self._hash(str(value)) for value in values]  # noqa: PLR0124 - NaN

    def _hash(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=self.key[:64], digest_size=_DIGITS // 2).hexdigest()


def rules_of(spec: Mapping[str, Any] | None) -> ServingRules:
    """Read the section `serving` of a spec; a version without a spec has the defaults.

    Raises
    ------
    ConfigError
        A field is unknown or cannot be used; its path begins with ``serving``.
    """
    try:
        section = (spec or {}).get("serving") or {}
        return ServingRules.model_validate(section)
    except ConfigError as error:
        path = f"serving.{error.field}" if error.field else "serving"
        raise ConfigError(f"serving: {error}", field=path) from None
    except AttributeError:
        raise ConfigError("the spec is no object; register the version again", field="serving") from None
