"""From a table to what a model takes: the right columns, in the model's order, as float64.

LightGBM predicts by position and XGBoost by whatever it is given, so names and order are enforced here, before either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from aihub.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub.types import FloatArray


def columns(data: Any, names: Sequence[str], count: int | None) -> dict[str, Any]:
    """Return the columns that a model needs, in its order, as numpy arrays: float64, or objects where they are text.

    Parameters
    ----------
    data
        pandas, polars or Arrow table, or an array of shape (n, count) for a model that knows no names.
    names
        The model's feature names; empty where it knows none, then all columns are taken as they come.
    count
        Number of features; None where it is not known.

    Raises
    ------
    DataError
        A column is missing, of a type that is not a number or text, or there are too many or too few.
    """
    if isinstance(data, np.ndarray):
        return _from_array(data, names, count)
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError as error:
        message = f"a {type(data).__name__} is not a table; pass a pandas, polars or Arrow table"
        raise DataError(message) from error
    present = {_spelled(str(name)): str(name) for name in frame.columns}
    if not names:
        if count is not None and len(present) != count:
            message = (
                f"the model knows no column names and takes {count} columns, the table has {len(present)}"
            )
            raise DataError(f"{message}; pass only the features, in the order of training")
        return {name: _column(frame[name]) for name in frame.columns}
    missing = [name for name in names if _spelled(name) not in present]
    if missing:
        hint = did_you_mean(missing[0], present.values())
        raise DataError(f"the model needs {len(missing)} columns that the table lacks: {missing[:10]}.{hint}")
    return {name: _column(frame[present[_spelled(name)]]) for name in names}


def _spelled(name: str) -> str:
    # LightGBM writes an underscore for each blank of a feature name.
    return name.replace(" ", "_")


def _from_array(data: np.ndarray[Any, Any], names: Sequence[str], count: int | None) -> dict[str, Any]:
    wanted = len(names) or count
    if data.ndim != 2 or (wanted is not None and data.shape[1] != wanted):  # noqa: PLR2004 - rows and columns
        raise DataError(f"an array of shape {data.shape} was passed; the model takes {wanted} columns")
    found = list(names) or [str(index) for index in range(data.shape[1])]
    return {name: np.asarray(data[:, index], dtype=np.float64) for index, name in enumerate(found)}


def _column(series: nw.Series[Any]) -> Any:
    dtype = series.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        return series.cast(nw.Float64).to_numpy().astype(np.float64, copy=False)
    if dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
        values = series.to_list()
        if all(value is None or isinstance(value, str) for value in values):
            return np.array(values, dtype=object)
        return _objects(series.name, values)
    raise DataError(f"type {dtype} is not a number or text; convert it before predicting", column=series.name)


def _objects(name: str, values: list[Any]) -> FloatArray:
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("values are neither all numbers nor all text; convert them", column=name) from error


def matrix(data: Any, names: Sequence[str], count: int) -> FloatArray:
    """Return the features as one array of shape (n, count), missing values as NaN.

    Raises
    ------
    DataError
        As `columns`, or a column is text.
    """
    found = columns(data, names, count)
    for name, values in found.items():
        if values.dtype == object:
            message = "the model takes numbers here, the table has text; encode it as in training"
            raise DataError(message, column=name)
    rows = len(next(iter(found.values())))
    out = np.empty((rows, len(found)))
    for index, values in enumerate(found.values()):
        out[:, index] = values
    return out
