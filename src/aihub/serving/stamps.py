"""Time stamps of requests as microseconds since 1970, the same as training reads them, without a table library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from aihub.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
FIRST_YEAR, LAST_YEAR = 1678, 2261
"""Years that are whole in nanoseconds of 64 bits, which tables count in."""
_FIRST_US = (datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_END_US = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def micros(
    values: Any, zone: str, *, column: str, series: Sequence[Any] | None = None, refuse_skipped: bool = False
) -> NDArray[np.int64]:
    """Return ISO 8601 texts, or ``datetime64`` in UTC, as microseconds since 1970 UTC.

    Parameters
    ----------
    zone
        IANA zone of stamps without an offset. Of an hour that a clock set back repeats, the first stamp of a series is
        the earlier one; an hour that the clock skipped is the one after it.
    series
        Series of each stamp, for such a repeated hour; None where every stamp is read on its own.
    refuse_skipped
        Refuse an hour that the clock skipped.

    Raises
    ------
    DataError
        A text is not a time stamp, or lies centuries away; names the row.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return _in_range(values, values.astype("datetime64[us]").astype(np.int64), column)
    out = np.empty(len(values), dtype=np.int64)
    seen: set[tuple[Any, datetime]] = set()
    local: ZoneInfo | None = None
    for row, text in enumerate(values):
        try:
            stamp = datetime.fromisoformat(text)
        except (ValueError, TypeError):
            raise DataError(
                f"{str(text)[:60]!r} is not a time stamp; send ISO 8601 such as 2025-03-01T12:00:00Z",
                column=column,
                row=row + 1,
            ) from None
        if stamp.tzinfo is None:
            local = local or ZoneInfo(zone)
            if series is not None:
                key = (series[row], stamp)
                stamp = stamp.replace(fold=1) if key in seen else stamp
                seen.add(key)
            try:
                stamp = _placed(stamp, local, column, row + 1, refuse_skipped=refuse_skipped)
            except OverflowError:
                # At the ends of what a date can be there is no hour before or after.
                raise _out_of_range(text, column, row + 1) from None
        out[row] = (stamp - _EPOCH) // _MICROSECOND
    return _in_range(values, out, column)


def micros_of(numbers: NDArray[np.int64], unit: str, *, column: str) -> NDArray[np.datetime64]:
    """Return moments that are counted in ``s``, ``ms``, ``us`` or ``ns`` since 1970 as ``datetime64[us]``.

    Raises
    ------
    DataError
        One lies centuries away, where counting it in microseconds might not even be possible; names the row.
    """
    if unit == "ns":
        return (numbers // 1000).astype("datetime64[us]")
    step = {"s": 1_000_000, "ms": 1000, "us": 1}[unit]
    is_far = (numbers < _FIRST_US // step) | (numbers >= _END_US // step)
    if is_far.any():
        row = int(np.flatnonzero(is_far)[0])
        raise _out_of_range(f"{numbers[row]} {unit} since 1970", column, row + 1)
    return (numbers * step).astype("datetime64[us]")


def _in_range(values: Any, found: NDArray[np.int64], column: str) -> NDArray[np.int64]:
    if found.size and not (found.min() >= _FIRST_US and found.max() < _END_US):
        row = int(np.flatnonzero((found < _FIRST_US) | (found >= _END_US))[0])
        raise _out_of_range(values[row], column, row + 1)
    return found


def _out_of_range(value: Any, column: str, row: int) -> DataError:
    text = f"{str(value)[:60]!r} is before {FIRST_YEAR} or after {LAST_YEAR}; correct the year"
    return DataError(text, column=column, row=row)


def _placed(stamp: datetime, zone: ZoneInfo, column: str, row: int, *, refuse_skipped: bool) -> datetime:
    placed = stamp.replace(tzinfo=zone).astimezone(UTC)
    is_skipped = placed.astimezone(zone).replace(tzinfo=None, fold=0) != stamp.replace(fold=0)
    if is_skipped and refuse_skipped:
        raise DataError(
            f"{stamp.isoformat()} is not a time in zone {zone.key}; send an offset", column=column, row=row
        )
    # In a skipped hour the second of two equal stamps would jump back by the hour: both mean the hour after it.
    return stamp.replace(tzinfo=zone, fold=0).astimezone(UTC) if is_skipped else placed
