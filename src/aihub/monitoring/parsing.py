"""Actuals as callers send them: JSON, NDJSON, CSV and Parquet into columns, each row that cannot be used with its reason."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from aihub.errors import DataError, InputError
from aihub.monitoring import delimited, parquet
from aihub.monitoring.actual_times import NO_TIME, read_times
from aihub.monitoring.log import MAX_NAME
from aihub.monitoring.predictions import parse_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aihub.monitoring.context import VersionContext
    from aihub.types import FloatArray

MAX_REJECTED = 1000
"""Rejected rows that are listed; all are counted."""
MAX_UNPACKED_BYTES = 512 << 20
"""What a compressed upload may unpack to."""
ID_COLUMN = "prediction_id"
_SERIES = ("series", "series_id")
_STAMPS = ("timestamp", "target_timestamp")
_VALUES = ("actual", "value")
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A row that was not taken: its 1-based number among the rows sent, and why."""

    row: int
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ActualTable:
    """Actuals by column, shape (n,); a row has a prediction id, or a time (and a series, where there are several).

    Attributes
    ----------
    row
        Number of each row among those sent, from 1.
    ids
        Prediction id, -1 where the row has none.
    target_us
        Time in microseconds since 1970 in UTC, the least int64 where the row has none.
    """

    row: NDArray[np.int64]
    ids: NDArray[np.int64]
    target_us: NDArray[np.int64]
    series: Sequence[str] | None
    value: FloatArray
    rejected: list[Rejected] = field(default_factory=list)
    rejected_rows: int = 0

    @classmethod
    def of(
        cls,
        value: FloatArray,
        *,
        target: NDArray[np.datetime64] | None = None,
        series: Sequence[str] | None = None,
        ids: NDArray[np.int64] | None = None,
    ) -> ActualTable:
        """Make a table of arrays that are known to be sound; NaN in `value` is not."""
        n = len(value)
        stamps = np.full(n, NO_TIME) if target is None else target.astype("datetime64[us]").astype(np.int64)
        numbers = np.full(n, -1, np.int64) if ids is None else ids
        return cls(row=np.arange(1, n + 1), ids=numbers, target_us=stamps, series=series, value=value)

    def __len__(self) -> int:
        return len(self.value)

    @property
    def has_time(self) -> NDArray[np.bool_]:
        """Whether each row has a time."""
        found: NDArray[np.bool_] = self.target_us != NO_TIME
        return found


def parse(body: bytes, content_type: str, context: VersionContext) -> ActualTable:
    """Read an upload.

    Raises
    ------
    InputError
        The type is none of JSON, NDJSON, CSV and Parquet.
    DataError
        The upload cannot be read at all, or lacks a column. Single bad rows raise nothing, they are in `rejected`.
    """
    kind = content_type.partition(";")[0].strip().lower()
    is_longer: NDArray[np.bool_] | None = None
    try:
        match kind:
            case "application/json" | "":
                frame = _from_json(body)
            case "application/x-ndjson" | "application/ndjson" | "application/jsonl":
                frame = _from_records([_line(line) for line in body.splitlines() if line.strip()])
            case "text/csv":
                numbers = (*_VALUES, context.target)
                used = (*numbers, ID_COLUMN, *_stamp_names(context), *_series_names(context))
                frame, is_longer = delimited.read(
                    body, used=used, numbers=numbers, max_bytes=MAX_UNPACKED_BYTES
                )
            case "application/vnd.apache.parquet" | "application/parquet" | "application/x-parquet":
                frame = _from_parquet(body)
            case _:
                raise InputError(
                    f"actuals of type {kind[:60]!r} are not understood; send application/json, application/x-ndjson, "
                    "text/csv or application/vnd.apache.parquet"
                )
    except (pl.exceptions.PolarsError, ValueError, OSError, RecursionError) as error:
        message = f"the actuals cannot be read: {str(error)[:200]}; send rows with timestamp (and series) or {ID_COLUMN}, and actual"
        raise DataError(message) from error
    return tabled(frame, context, is_longer=is_longer)


def tabled(
    frame: pl.DataFrame, context: VersionContext, *, is_longer: NDArray[np.bool_] | None = None
) -> ActualTable:
    """Check the columns of a frame, row by row.

    Parameters
    ----------
    is_longer
        Rows that had more fields than there are columns, which are rejected.

    Raises
    ------
    DataError
        There is no column of values, or neither one of times nor one of prediction ids.
    """
    value_name = _found(frame, (*_VALUES, context.target))
    stamp_name = _found(frame, _stamp_names(context))
    series_name = _found(frame, _series_names(context))
    if value_name is None or (stamp_name is None and ID_COLUMN not in frame.columns):
        message = f"actuals need a column 'actual' (or {context.target!r}), and {ID_COLUMN!r} or 'timestamp' (with 'series')"
        has = ", ".join(repr(name[:40]) for name in frame.columns[:_SHOWN])
        raise DataError(f"{message}; what was sent has {has or 'no rows'}")
    n = frame.height
    value, bad_value = _numbers(frame.get_column(value_name))
    ids, bad_id = _no_ids(n) if ID_COLUMN not in frame.columns else _ids(frame.get_column(ID_COLUMN))
    series = None if series_name is None else frame.get_column(series_name).cast(pl.String)
    stamps, bad_stamp = _no_times(n)
    if stamp_name is not None:
        stamps, bad_stamp = read_times(frame.get_column(stamp_name), context.stamp_zone, series)
    nothing = frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    no_key = (ids < 0) & (stamps == NO_TIME)
    faults: list[tuple[NDArray[np.bool_], str]] = [
        (
            _or_no(is_longer, n),
            "has more fields than the header has columns; a value with a comma needs quotes",
        ),
        (nothing, "the row is empty, or no object of column and value"),
        (bad_value, f"{value_name} is no finite number"),
        (bad_stamp, f"{stamp_name} is no time between 1900 and 2100; write 2026-01-31T14:00:00Z"),
        (bad_id, f"{ID_COLUMN} is no id that a prediction was answered with"),
        (no_key, f"neither a time nor a {ID_COLUMN}"),
    ]
    if series is not None:
        faults += [(bad, f"{series_name} {reason}") for bad, reason in _series_faults(series, ids)]
    reasons: dict[int, str] = {}
    for bad, reason in faults:
        for at in np.flatnonzero(bad).tolist():
            reasons.setdefault(at, reason)
    return _kept(value, stamps, ids, series, reasons)


def _stamp_names(context: VersionContext) -> Sequence[str]:
    return (*_STAMPS, context.timestamp_column)


def _series_names(context: VersionContext) -> Sequence[str]:
    return (*_SERIES, context.series_column)


def _or_no(given: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    return np.zeros(n, bool) if given is None else given


def _series_faults(series: pl.Series, ids: NDArray[np.int64]) -> list[tuple[NDArray[np.bool_], str]]:
    """Rows whose series cannot be used, and why."""
    is_long = (series.str.len_chars() > MAX_NAME).fill_null(value=False)
    has_zero = series.str.contains("\0", literal=True).fill_null(value=False)
    return [
        (series.is_null().to_numpy() & (ids < 0), "is missing"),
        (is_long.to_numpy(), f"has more than {MAX_NAME} characters"),
        (has_zero.to_numpy(), "holds a zero character"),
    ]


def _kept(
    value: FloatArray,
    stamps: NDArray[np.int64],
    ids: NDArray[np.int64],
    series: pl.Series | None,
    reasons: dict[int, str],
) -> ActualTable:
    keep = np.ones(len(value), bool)
    keep[list(reasons)] = False
    if series is not None:
        series = series.fill_null("")
        series = series if keep.all() else series.filter(pl.Series(keep))
    listed = [Rejected(row=at + 1, reason=reasons[at]) for at in sorted(reasons)[:MAX_REJECTED]]
    return ActualTable(
        row=np.flatnonzero(keep) + 1,
        ids=ids[keep],
        target_us=stamps[keep],
        series=None if series is None else series.to_list(),
        value=value[keep],
        rejected=listed,
        rejected_rows=len(reasons),
    )


def _found(frame: pl.DataFrame, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in frame.columns), None)


def _numbers(column: pl.Series) -> tuple[FloatArray, NDArray[np.bool_]]:
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int8)
    found = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64, copy=True)
    return found, ~np.isfinite(found)


def _no_times(n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.full(n, NO_TIME), np.zeros(n, bool)


def _no_ids(n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.full(n, -1, np.int64), np.zeros(n, bool)


def _ids(column: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    found = np.full(len(column), -1, np.int64)
    bad = np.zeros(len(column), bool)
    for at, text in enumerate(column.to_list()):
        if text is None or text == "":
            continue
        try:
            found[at] = parse_id(str(text))
        except InputError:
            bad[at] = True
    return found, bad


def _from_parquet(body: bytes) -> pl.DataFrame:
    """Read a Parquet file, in which what is repeated is written once: a small body may unpack to gigabytes."""
    from pyarrow import ArrowException  # noqa: PLC0415 - only these uploads need it

    try:
        table = parquet.read(body, max_rows=MAX_UNPACKED_BYTES, max_bytes=MAX_UNPACKED_BYTES)
        return pl.DataFrame(_in_utc(table)).with_columns(pl.col(pl.Categorical).cast(pl.String))
    except (ArrowException, InputError) as error:
        raise ValueError(str(error)) from None


def _in_utc(table: Any) -> Any:
    """Give the times of an Arrow table in UTC: polars knows no zone such as +05:30, and the moment is the same in each."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    for at, one in enumerate(table.schema):
        kind = one.type.value_type if pa.types.is_dictionary(one.type) else one.type
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            moments = table.column(at).cast(kind).cast(pa.timestamp(kind.unit, "UTC"))
            table = table.set_column(at, one.name, moments)
    return table


def _from_json(body: bytes) -> pl.DataFrame:
    document: Any = json.loads(body)
    if isinstance(document, dict):
        rows = document.get("actuals", document.get("rows"))
        if isinstance(rows, list):
            return _from_records(rows)
        if document and all(isinstance(column, list) for column in document.values()):
            lengths = {len(column) for column in document.values()}
            if len(lengths) == 1:
                return pl.DataFrame({name: _column(values) for name, values in document.items()})
        if isinstance(rows, dict) or any(name in document for name in (*_VALUES, ID_COLUMN)):
            return _from_records([document])
    if isinstance(document, list):
        return _from_records(document)
    raise ValueError("neither a list of rows nor an object of columns")


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None  # a row that is rejected, and not the end of the upload


def _from_records(rows: Sequence[Any]) -> pl.DataFrame:
    records = [row if isinstance(row, dict) else {} for row in rows]
    names = dict.fromkeys(name for row in records for name in row)
    return pl.DataFrame({name: _column([row.get(name) for row in records]) for name in names})


def _column(values: Sequence[Any]) -> pl.Series:
    """Numbers as numbers, true and false too, everything else as text; what is neither is missing."""
    if any(v is True or v is False for v in values) and all(v is None or isinstance(v, bool) for v in values):
        return pl.Series(values=values, dtype=pl.Boolean)
    if all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values):
        return pl.Series(values=[None if v is None else _float(v) for v in values], dtype=pl.Float64)
    return pl.Series(
        values=[
            v if isinstance(v, str) else None if v is None or isinstance(v, dict | list) else str(v)
            for v in values
        ],
        dtype=pl.String,
    )


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf  # its row is rejected
