"""Names that every part of the hub shares, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from aihub.errors import ForbiddenError

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


def iso(moment: datetime) -> str:
    """Write a time in the one form that every answer has: ISO 8601 in UTC with a ``Z``.

    >>> from datetime import datetime
    >>> iso(datetime(2026, 1, 31, 15, tzinfo=UTC))
    '2026-01-31T15:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class ModelType(StrEnum):
    """What a model answers: a number per row, or whether a row is anomalous."""

    FORECAST = "forecast"
    ANOMALY = "anomaly"


class Role(StrEnum):
    """What a person or a program may do in its tenant; the scopes of each are in `aihub.auth`."""

    VIEWER = "viewer"
    TRAINER = "trainer"
    APPROVER = "approver"
    DEPLOYER = "deployer"
    ADMIN = "admin"


OPERATOR_TENANT = "*"
"""Tenant of the keys of those who run the hub: they may act in any tenant."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who acts, in whose name, and from where.

    Attributes
    ----------
    tenant
        Tenant that is acted in; never `OPERATOR_TENANT`.
    principal
        Person or program behind the credential: four eyes are two principals, however many keys each holds.
    scopes
        What the credential may do, such as ``jobs:write``.
    is_operator
        Whether the credential may act in any tenant.
    source
        Where the request came from, for the audit log: ``api 127.0.0.1 req_7f``, ``cli host``.
    """

    tenant: str
    principal: str
    role: Role
    scopes: frozenset[str]
    is_operator: bool = False
    source: str = ""

    def require(self, scope: str) -> None:
        """Refuse what the credential may not do.

        Raises
        ------
        ForbiddenError
            The credential has not the scope.
        """
        if scope not in self.scopes:
            raise ForbiddenError(
                f"{self.principal!r} as {self.role} may not do this: scope {scope!r} is missing; ask an admin for a key that has it"
            )


class Severity(StrEnum):
    """What a check that did not pass does to the gate."""

    FAIL = "fail"
    """Stops the gate."""
    WARN = "warn"
    """Is shown above the fold of the report; the gate stays open."""
    INFO = "info"
    """Is recorded."""


class Outcome(StrEnum):
    """What a check found. Only `PASSED` and `SKIPPED` let a gate through."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    """Not enough data to tell; counts as not passed, and the message names the n that would do."""
    SKIPPED = "skipped"
    """The check does not apply: what it compares with was not given."""


class Drift(StrEnum):
    """The three verdicts of every drift test."""

    OK = "ok"
    DRIFT = "drift"
    NOT_ENOUGH_DATA = "not enough data"


@runtime_checkable
class Predictor(Protocol):
    """A loaded model, whatever library it came from.

    `feature_names` are the columns that a caller must send (empty: unknown, all columns are passed on).
    `predict` takes a table (pandas, polars, Arrow) and answers one float per row, in row order.
    """

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that `predict` needs, in the model's order."""
        ...

    def predict(self, data: Any) -> FloatArray:
        """One number per row of `data`, in row order."""
        ...


@runtime_checkable
class HistoryPredictor(Predictor, Protocol):
    """A predictor that may look at past values of its own target.

    `history` holds timestamp, series id (where there is one) and target. A row is predicted only from what was known
    at its forecast origin: giving the whole validation table as history does not leak its answers.
    """

    def predict(self, data: Any, *, history: Any | None = None) -> FloatArray:
        """One number per row of `data`, in row order."""
        ...

    def predict_interval(
        self, data: Any, *, history: Any | None = None, level: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bound per row of `data`, in row order.

        One that makes prediction and bounds in one pass may also have a `predict_with_interval` with these parameters,
        which returns prediction, lower and upper bound; the gate then asks that alone.
        """
        ...


@runtime_checkable
class Scorer(Predictor, Protocol):
    """An anomaly model: `predict` answers 0 or 1, `score` how unusual a row is (0 to 1, calibrated)."""

    def score(self, data: Any) -> FloatArray:
        """Calibrated score per row of `data`, in row order; higher is more unusual."""
        ...
