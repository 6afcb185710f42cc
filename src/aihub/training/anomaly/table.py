"""Rows as a detector sees them: columns of a table of any library, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from aihub.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from aihub.types import FloatArray

MAX_LEVELS = 200
"""Levels of a categorical feature that get a code of their own; rarer ones share the missing value's place."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns a detector reads, and what their rows mean.

    Attributes
    ----------
    timestamp
        Column of time stamps; None for a table without time, whose rows are then taken on their own.
    numeric, categorical
        Features; categorical ones with their known levels, whose position is the code.
    watched
        Column whose value is judged; None where labels were learned.
    stamp_zone
        IANA zone of stamps that carry no offset.
    """

    timestamp: str | None
    series_id: str | None
    numeric: tuple[str, ...]
    categorical: Mapping[str, tuple[str, ...]]
    watched: str | None
    stamp_zone: str

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that a caller must send."""
        given = (self.timestamp, self.series_id, *self.numeric, *self.categorical, self.watched)
        return tuple(name for name in given if name is not None)

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`."""
        return {
            "timestamp": self.timestamp,
            "series_id": self.series_id,
            "numeric": list(self.numeric),
            "categorical": {name: list(levels) for name, levels in self.categorical.items()},
            "watched": self.watched,
            "stamp_zone": self.stamp_zone,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Columns:
        """Inverse of `to_state`."""
        return cls(
            timestamp=state["timestamp"],
            series_id=state["series_id"],
            numeric=tuple(state["numeric"]),
            categorical={name: tuple(levels) for name, levels in state["categorical"].items()},
            watched=state["watched"],
            stamp_zone=state["stamp_zone"],
        )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Columns of n rows.

    Attributes
    ----------
    times
        Microseconds since 1970, UTC, shape (n,); row numbers where the table has no time.
    series
        Series id per row, shape (n,).
    values
        Numeric columns (features, codes of categories, the watched value) by name, missing is NaN, shape (n,) each.
    """

    times: NDArray[np.int64]
    series: NDArray[np.str_]
    values: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: NDArray[Any]) -> Rows:
        """Return the rows of an index or mask."""
        return Rows(
            times=self.times[rows],
            series=self.series[rows],
            values={name: column[rows] for name, column in self.values.items()},
        )

    def before(self, other: Rows) -> Rows:
        """Return these rows followed by `other`'s, without those that `other` holds as well (same series and time)."""
        import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

        mine, theirs = (pl.DataFrame({"series": part.series, "time": part.times}) for part in (self, other))
        new = mine.with_row_index("row").join(
            theirs, on=["series", "time"], how="anti", maintain_order="left"
        )
        kept = self.take(new.get_column("row").to_numpy().astype(np.int64))
        return Rows(
            times=np.concatenate((kept.times, other.times)),
            series=np.concatenate((kept.series, other.series)),
            values={
                name: np.concatenate((kept.values[name], column)) for name, column in other.values.items()
            },
        )

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able values for `from_state`; missing is null."""
        return {
            "times": self.times.tolist(),
            "series": self.series.tolist(),
            "values": {
                name: [None if np.isnan(value) else value for value in column.tolist()]
                for name, column in self.values.items()
            },
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Rows:
        """Inverse of `to_state`."""
        return cls(
            times=np.asarray(state["times"], dtype=np.int64),
            series=np.asarray(state["series"], dtype=np.str_),
            values={name: np.asarray(column, dtype=np.float64) for name, column in state["values"].items()},
        )


def to_polars(data: Any) -> pl.DataFrame:
    """Return any eager table as polars.

    Raises
    ------
    DataError
        Not a table that narwhals knows.
    """
    import narwhals as nw  # noqa: PLC0415 - tables only come in when somebody trains or predicts

    try:
        frame: pl.DataFrame = nw.from_native(data, eager_only=True).to_polars()
    except TypeError:
        raise DataError(
            f"a {type(data).__name__} is not a table; send a pandas, polars or Arrow table"
        ) from None
    return frame


def read_rows(data: Any, columns: Columns, *, is_history: bool = False) -> Rows:
    """Read the columns of a detector from a table, rows in the table's order.

    Parameters
    ----------
    data
        pandas, polars or Arrow.
    is_history
        Past rows may lack feature columns (missing is NaN there), but not the time.

    Raises
    ------
    DataError
        A column is missing, holds text where numbers were learned, or a time stamp that cannot be read.
    """
    frame = to_polars(data)
    missing = [name for name in columns.names if name not in frame.columns]
    if is_history:
        missing = [name for name in missing if name in (columns.timestamp, columns.series_id)]
    if missing:
        raise DataError(
            f"the table has no such column.{did_you_mean(missing[0], frame.columns)} "
            f"The model needs: {', '.join(columns.names)}.",
            column=missing[0],
        )
    n = frame.height
    empty = np.full(n, np.nan)
    values: dict[str, FloatArray] = {}
    for name in (*columns.numeric, *([columns.watched] if columns.watched else [])):
        values[name] = _numbers(frame.get_column(name)) if name in frame.columns else empty
    for name, levels in columns.categorical.items():
        values[name] = _codes(frame.get_column(name), levels) if name in frame.columns else empty
    series = (
        frame.get_column(columns.series_id).cast(_string()).fill_null("").to_numpy().astype(np.str_)
        if columns.series_id
        else np.full(n, "", dtype=np.str_)
    )
    times = (
        _times(frame.get_column(columns.timestamp), columns.stamp_zone)
        if columns.timestamp
        else np.arange(n, dtype=np.int64)
    )
    return Rows(times=times, series=series, values=values)


def _string() -> Any:
    import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

    return pl.String


def _numbers(column: pl.Series) -> FloatArray:
    import polars as pl  # noqa: PLC0415 - as above

    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise DataError(
            f"holds {column.dtype} where the model learned numbers; convert the column", column=column.name
        )
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    numbers[np.isinf(numbers)] = np.nan
    return cast("FloatArray", numbers)


def _codes(column: pl.Series, levels: tuple[str, ...]) -> FloatArray:
    codes = {level: float(position) for position, level in enumerate(levels)}
    return np.array(
        [codes.get(value, np.nan) for value in column.cast(_string()).to_list()], dtype=np.float64
    )


def _times(column: pl.Series, zone: str) -> NDArray[np.int64]:
    import polars as pl  # noqa: PLC0415 - as above

    given = column
    if column.dtype == pl.String:
        column = _parsed(column)
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        raise DataError(
            f"holds {column.dtype} instead of time stamps; convert the column", column=column.name
        )
    if column.dtype.time_zone is None:
        column = column.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    column = column.dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise DataError(
            f"{given[row]!r} is not a time in zone {zone}; correct it or drop the row",
            column=given.name,
            row=row + 1,
        )
    return cast("NDArray[np.int64]", column.dt.timestamp("us").to_numpy().astype(np.int64))


def _parsed(column: pl.Series) -> pl.Series:
    """Read ISO 8601 text, with or without offset; what cannot be read becomes null."""
    import polars as pl  # noqa: PLC0415 - as above

    text = column.str.strip_chars().str.replace(" ", "T", literal=True).str.replace(r"Z$", "+00:00")
    if text.str.contains(r"[+-]\d\d:?\d\d$").any():
        return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)
    for pattern in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d"):
        parsed = text.str.to_datetime(pattern, time_unit="us", strict=False)
        if parsed.null_count() == column.null_count() and len(parsed):
            return parsed
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).cast(pl.Datetime("us"))
