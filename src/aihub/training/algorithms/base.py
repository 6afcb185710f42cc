"""What an algorithm is: a named pair of fit and load, with the hyperparameters it lets a user set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from aihub.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aihub.types import FloatArray

    Matrix: TypeAlias = NDArray[np.float32]

Objective: TypeAlias = Literal["l1", "l2", "quantile", "binary"]
OnRound: TypeAlias = Callable[[float], None]
"""Called after each boosting round with the share of rounds done; an exception it raises ends the fit."""


@dataclass(frozen=True)
class Hyperparameter:
    """One setting that a user may give, and what it may be.

    Parameters
    ----------
    low, high
        Inclusive bounds of a number.
    integer
        Only whole numbers.
    choices
        Where given, the only values allowed (then the bounds do not apply).
    default
        What the recipe uses where the user says nothing; None: the library's own default.
    doc
        One line for the reference.
    """

    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    choices: tuple[Any, ...] = ()
    default: float | str | None = None
    doc: str = ""

    def check(self, name: str, value: Any) -> int | float | str | bool:
        """Return `value` in its own type.

        Raises
        ------
        ConfigError
            Not a finite number within the bounds, or not one of the choices.
        """
        field_name = f"hyperparameters.{name}"
        if self.choices:
            if value not in self.choices or isinstance(value, bool) != isinstance(self.choices[0], bool):
                raise ConfigError(
                    f"{field_name} is {value!r}; use one of {', '.join(map(repr, self.choices))}.",
                    field=field_name,
                )
            return value  # type: ignore[no-any-return]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{field_name} is {value!r}; give a finite number.", field=field_name)
        if self.integer and value != int(value):
            raise ConfigError(f"{field_name} is {value!r}; give a whole number.", field=field_name)
        if not self.low <= value <= self.high:
            raise ConfigError(
                f"{field_name} is {value!r}; give a number from {self.low:g} to {self.high:g}.",
                field=field_name,
            )
        return int(value) if self.integer else float(value)


@runtime_checkable
class Booster(Protocol):
    """A fitted ensemble of one of the libraries."""

    @property
    def gain(self) -> dict[str, float]:
        """Total gain per feature that was used at least once."""
        ...

    def predict(self, x: Matrix, *, threads: int = 1) -> FloatArray:
        """One number per row of `x` (shape ``(n, p)``, float32, NaN is missing)."""
        ...

    def to_bytes(self) -> bytes:
        """Return the library's native format; equal boosters give equal bytes."""
        ...


class Fit(Protocol):
    """How an algorithm is fitted."""

    def __call__(
        self,
        x: Matrix,
        y: FloatArray,
        *,
        names: tuple[str, ...],
        categorical: tuple[str, ...] = (),
        params: Mapping[str, Any],
        objective: Objective,
        quantile: float | None = None,
        weights: FloatArray | None = None,
        seed: int = 0,
        threads: int = 1,
        on_round: OnRound | None = None,
    ) -> Booster:
        """Fit `x` (shape ``(n, p)``, columns `names`) to `y` (shape ``(n,)``)."""
        ...


@dataclass(frozen=True)
class Algorithm:
    """A way to fit trees.

    Parameters
    ----------
    name
        What a config calls it.
    hyperparameters
        Every setting that a user may give; all others are refused.
    fit
        See `Fit`. `params` are checked hyperparameters under the names of this allow-list.
    load
        Reads `Booster.to_bytes` back; raises `ArtifactError` on what it cannot read.
    suffix
        File suffix of the native format.
    aliases
        Other names for the same setting.
    """

    name: str
    hyperparameters: Mapping[str, Hyperparameter]
    fit: Fit
    load: Callable[[bytes], Booster]
    suffix: str
    aliases: Mapping[str, str] = field(default_factory=dict)

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return `given` under the allow-list's names and in its types.

        Raises
        ------
        ConfigError
            A name that is not on the list (the nearest is offered), one setting under two names, or a bad value.
        """
        checked: dict[str, Any] = {}
        for alias, value in given.items():
            name = self.aliases.get(alias, alias)
            known = self.hyperparameters.get(name)
            if known is None:
                raise ConfigError(
                    f"hyperparameter {alias!r} is not one that {self.name!r} takes."
                    f"{did_you_mean(alias, self.hyperparameters)} Remove it or use one of: "
                    f"{', '.join(sorted(self.hyperparameters))}.",
                    field=f"hyperparameters.{alias}",
                )
            if name in checked:
                raise ConfigError(
                    f"hyperparameter {name!r} is given twice (also as {alias!r}); keep one.",
                    field=f"hyperparameters.{alias}",
                )
            checked[name] = known.check(alias, value)
        return checked
