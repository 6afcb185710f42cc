"""How much a model's answers move when its inputs move a little."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.frames import take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from aihub.types import FloatArray
    from aihub.validation.checks.base import Subject


class UnusableError(ValueError):
    """The rows at hand do not have what the model must be sent; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Response:
    """What input noise does to the output.

    Attributes
    ----------
    ratio
        Root mean square change of the output over the output's standard deviation; 0 is insensitive.
    worst_share
        Share of rows whose output moved by more than one standard deviation of the output.
    rows
        Rows compared (finite before and after).
    unanswered
        Rows answered before the noise and not after.
    """

    ratio: float
    worst_share: float
    rows: int
    unanswered: int


def table_of(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Build a table in whichever data frame library is loaded already (polars where neither is)."""
    if "polars" not in sys.modules and "pandas" in sys.modules:
        import pandas as pd  # noqa: PLC0415 - only where the caller uses it

        return pd.DataFrame(
            {k: pd.to_datetime(v, utc=True) if v.dtype.kind == "M" else v for k, v in columns.items()}
        )
    import polars as pl  # noqa: PLC0415 - only where a check calls the model

    def series(name: str, values: NDArray[Any]) -> pl.Series:
        if values.dtype.kind == "M":
            return pl.Series(name, values).dt.replace_time_zone("UTC")
        return pl.Series(name, values if values.dtype.kind == "f" else values.tolist(), strict=False)

    return pl.DataFrame([series(name, values) for name, values in columns.items()])


def columns_for(subject: Subject, rows: NDArray[np.intp] | slice) -> dict[str, NDArray[Any]]:
    """Columns that the model must be sent, of some rows.

    Raises
    ------
    UnusableError
        The subject does not have all of them, or no row.
    """
    if subject.predictor is None:
        raise UnusableError("the model itself is not at hand")
    names = subject.predictor.feature_names or tuple(subject.features)
    missing = [name for name in names if name not in subject.features and name not in subject.keys]
    if missing:
        raise UnusableError(f"the model needs {missing[0]!r} too, which is no feature column")
    found = {
        name: take(subject.features, name, rows) if name in subject.features else subject.keys[name][rows]
        for name in names
    }
    if not found or not len(next(iter(found.values()))):
        raise UnusableError("there is no row to send")
    return found


def first_rows(subject: Subject, rows: int) -> Any:
    """Return a table of the first rows, as the model must be sent it; raises `UnusableError`."""
    return table_of(columns_for(subject, slice(0, rows)))


def noise_response(
    predict: Callable[[Any], FloatArray],
    columns: Mapping[str, NDArray[Any]],
    *,
    noise: float = 0.01,
    seed: int = 0,
) -> Response:
    """Predict twice, the second time with Gaussian noise on every numeric column.

    Parameters
    ----------
    predict
        From a table to one number per row.
    columns
        Equally long; float columns get noise of `noise` times their own standard deviation, others stay. A column of
        integers only (codes, hours) stays too: no sensor sends 7.02 o'clock.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=200)
    >>> r = noise_response(lambda t: t["x"].to_numpy() * 3, {"x": x})
    >>> 0.005 < r.ratio < 0.02
    True
    """
    rng = np.random.default_rng(seed)
    moved = {}
    for name, values in columns.items():
        moved[name] = values
        if values.dtype.kind == "f":
            finite = values[np.isfinite(values)]
            if len(finite) and (finite != np.round(finite)).any():
                moved[name] = values + noise * float(finite.std()) * rng.standard_normal(len(values))
    before = np.asarray(predict(table_of(columns)), dtype=np.float64)
    after = np.asarray(predict(table_of(moved)), dtype=np.float64)
    answered = np.isfinite(before)
    both = answered & np.isfinite(after)
    unanswered = int(answered.sum() - both.sum())
    if not both.any():
        return Response(float("nan"), float("nan"), 0, unanswered)
    spread = float(before[both].std())
    change = np.abs(after[both] - before[both])
    size = float(np.sqrt((change**2).mean()))
    ratio = size / spread if spread > 0 else (0.0 if size == 0 else float("inf"))
    return Response(ratio, float((change > spread).mean()), int(both.sum()), unanswered)
