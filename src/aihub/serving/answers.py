"""What a compiled version answers, and what it promises to every caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub.serving.contract import Contract, Rows
    from aihub.types import FloatArray


@dataclass(slots=True)
class Answer:
    """Predictions of one request, one entry a row; lists, or arrays where there are many.

    Attributes
    ----------
    prediction
        The number; 1.0 or 0.0 for an anomaly model.
    lower, upper
        Interval at `level`; None where the model gives none.
    score
        Calibrated score of an anomaly model.
    series, target_us
        What the row speaks of: series id, and microseconds since 1970 UTC; None where the model knows neither.
    """

    prediction: Sequence[float] | FloatArray
    lower: Sequence[float] | FloatArray | None = None
    upper: Sequence[float] | FloatArray | None = None
    level: float | None = None
    score: Sequence[float] | FloatArray | None = None
    series: Sequence[str] | None = None
    target_us: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.prediction)


class CompiledModel(Protocol):
    """A version in memory. Immutable, and safe to call from several threads."""

    @property
    def kind(self) -> str:
        """Kind of the artefact, such as ``forecast/1``."""
        ...

    @property
    def contract(self) -> Contract:
        """What it takes."""
        ...

    @property
    def quick_rows(self) -> int:
        """Rows up to which an answer takes a millisecond or two at most; 0: it always takes longer."""
        ...

    def predict(self, rows: Rows, *, level: float | None = None) -> Answer:
        """Answer rows that the contract has checked, in row order."""
        ...


class Forecasting(CompiledModel, Protocol):
    """A version that can be asked for the next steps, and that learns of actuals without being trained again."""

    def forecast(self, horizon: int | None, *, future: Any | None = None) -> Answer:
        """Answer the next `horizon` steps of every series; `future` holds the covariates that are known ahead."""
        ...
