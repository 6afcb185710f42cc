"""Time stamps as they are written: many formats, unix numbers, day before month or month before day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.raw import MISSING_WORDS
from aihub.training.data.table import DataNote

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMES = ("T%H:%M:%S%.f", " %H:%M:%S%.f", "T%H:%M", " %H:%M", "")
_AM_PM = (" %I:%M:%S %p", " %I:%M %p")
_PLAIN_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d %Y",
    "%b %d, %Y",
    "%d %B %Y",
)
_DAY_FIRST = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%m/%d/%y", "%m.%d.%y")
_OFFSET = r"(?:[Zz]|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
_BAD_SHARE = 0.01
_PROBE_ROWS = 2000
_UNIX_UNITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (float("inf"), "ns"))
_US_PER = {"s": 1_000_000, "ms": 1000, "us": 1}
_COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEARS = (1900, 2200)
_SECONDS = tuple(
    int((datetime(year, 1, 1) - datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001 - without zones
    for year in (_YEARS[0], _YEARS[1] + 1)
)
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY_S = 86_400
_LAST_NS = 9e18
_EXCEL_DAYS = (20_000, 80_000)
"""1954 to 2119 as days since 1900; as unix time it would be one day of 1970."""


@dataclass(frozen=True)
class Stamps:
    """Parsed time stamps.

    Attributes
    ----------
    column
        ``Datetime("us", "UTC")`` where the file says the offset (`is_aware`), else naive ``Datetime("us")``;
        null where a cell could not be read.
    """

    column: pl.Series
    is_aware: bool
    notes: tuple[DataNote, ...]


def parse_stamps(column: pl.Series, rows: pl.Series, *, label: str) -> Stamps:
    """Read a column of time stamps of any supported kind.

    Raises
    ------
    DataError
        More than 1 % of the cells are no time stamps, some carry an offset and some do not, or day and month
        cannot be told apart.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        is_aware = dtype.time_zone is not None
        known, written = countable(column)
        exact = known.dt.convert_time_zone("UTC") if is_aware else known
        return _done(exact.dt.cast_time_unit("us"), written, rows, label, is_aware=is_aware)
    if dtype == pl.Date:
        known, written = countable(column)
        return _done(known.cast(pl.Datetime("us")), written, rows, label, is_aware=False)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        column, dtype = column.cast(pl.String), pl.String()
    if dtype.is_numeric():
        return _from_numbers(column, rows, label)
    if dtype != pl.String:
        raise DataError(
            f"holds {dtype}, not time stamps. Name the column of time stamps.", file=label, column=column.name
        )
    words = column.str.strip_chars()
    words = words.set(words.is_in(list(MISSING_WORDS)), None)
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.null_count() - words.null_count() <= _BAD_SHARE * len(words) and numbers.count():
        return _from_numbers(numbers, rows, label)
    return _from_text(words, rows, label)


def countable(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Give a column of dates or times without what lies beyond the years that are taken, and as it is to be shown.

    Found in the numbers that stand for it: asked for the year of such a moment, polars panics and Python raises.
    """
    unit = column.dtype.time_unit if isinstance(column.dtype, pl.Datetime) else "days"
    numbers = column.to_physical()
    first, end = (at * _PER_SECOND[unit] if unit in _PER_SECOND else at // _DAY_S for at in _SECONDS)
    is_far = ~numbers.is_between(first, end, closed="left").fill_null(value=True)
    if not is_far.any():
        return column, column
    return column.set(is_far, None), numbers.cast(pl.String) + f" {unit} since 1970"


def _from_numbers(column: pl.Series, rows: pl.Series, label: str) -> Stamps:
    numbers = column.cast(pl.Float64).fill_nan(None)
    numbers = numbers.set(numbers.abs() > _LAST_NS, None)
    known = numbers.drop_nulls()
    if not len(known):
        raise DataError(
            "holds no time stamps at all. Name the column of time stamps.", file=label, column=column.name
        )
    top, low = float(known.abs().max() or 0), float(known.min())  # type: ignore[arg-type] # Float64 has a float minimum
    compact = _COMPACT.get(len(f"{top:.0f}"))
    if low >= 10 ** (len(f"{top:.0f}") - 1) and compact is not None:
        words = numbers.cast(pl.Int64, strict=False).cast(pl.String)
        padded = words + "00" if compact.endswith("%H") else words
        dates = _try(padded, "%Y%m%d%H%M" if compact.endswith("%H") else compact)
        inside = dates.dt.year().is_between(*_YEARS).sum()
        # Ten digits could be unix seconds too: those would only by chance all be valid dates.
        if dates.null_count() == numbers.null_count() and inside == len(known):
            return _done(dates, column, rows, label, is_aware=False)
    if len(known) > 1 and low in (0.0, 1.0) and top == low + len(known) - 1:
        raise DataError(
            "holds row numbers, not time stamps. Remove it and give first_timestamp and frequency instead.",
            file=label,
            column=column.name,
        )
    if _EXCEL_DAYS[0] <= low and top <= _EXCEL_DAYS[1]:
        raise DataError(
            f"holds numbers such as {known[0]:g}, which look like Excel's count of days. "
            "Format the column as yyyy-mm-dd hh:mm and save it again.",
            file=label,
            column=column.name,
            row=int(rows[0]),
        )
    unit = next(unit for limit, unit in _UNIX_UNITS if top < limit)
    if unit == "ns":
        micros = (
            column.cast(pl.Int64, strict=False) // 1000
            if column.dtype.is_integer()
            else (numbers / 1000).cast(pl.Int64)
        )
    else:
        micros = (numbers * _US_PER[unit]).round().cast(pl.Int64)
    parsed = micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    note = DataNote(
        code="unix_time",
        message=f"{column.name!r} holds unix time in {unit}.",
        column=column.name,
        repaired=False,
    )
    return _done(parsed, column, rows, label, is_aware=True, notes=(note,))


def _from_text(words: pl.Series, rows: pl.Series, label: str) -> Stamps:
    # ISO 8601 lets a comma stand before the fraction, and some programs write it so.
    words = words.str.replace(r"(:\d{2}),(\d+)", "$1.$2")
    words, notes = _next_midnight(words, rows)
    # A date alone ends like an offset ("2012-01-03"): an offset needs a time before it.
    has_offset = (
        words.str.contains(_OFFSET) & words.str.contains(r"\d[ T]\d{1,2}:?\d{0,2}.*" + _OFFSET)
    ).fill_null(value=False)
    aware_count, known = int(has_offset.sum()), words.count()
    if 0 < aware_count < known:
        odd = has_offset if aware_count * 2 < known else ~has_offset & words.is_not_null()
        first = odd.arg_max() or 0
        raise DataError(
            f"some stamps carry an offset and some do not, such as {words[first][:40]!r}. Write all with an offset or all without.",
            file=label,
            column=words.name,
            row=int(rows[first]),
        )
    if aware_count:
        plain = words.str.replace(r"\s*(?:[Zz]|UTC|GMT)$", "+00:00").str.replace(r"\s*([+-]\d{2})$", "$1:00")
        plain = plain.str.replace(r"\s+([+-]\d{2}:?\d{2})$", "$1")
        formats = [date + time + "%z" for date in _PLAIN_DATES[:3] for time in _TIMES if time]
        return _done(_first_that_fits(plain, formats), words, rows, label, is_aware=True, notes=notes)
    formats = [date + time for date in _PLAIN_DATES for time in (*_TIMES, *_AM_PM)]
    parsed = _first_that_fits(words, formats)
    if parsed.null_count() > words.null_count():
        parsed = parsed.fill_null(_by_order(words.set(parsed.is_not_null(), None), label, rows))
    return _done(parsed, words, rows, label, is_aware=False, notes=notes)


def _next_midnight(words: pl.Series, rows: pl.Series) -> tuple[pl.Series, tuple[DataNote, ...]]:
    """``24:00`` is midnight of the next day (ISO 8601:2004); it is read as 23:59:59.999999 plus a moment below."""
    late = words.str.contains(r"[T ]24:00(?::00)?$").fill_null(value=False)
    if not late.any():
        return words, ()
    note = DataNote(
        code="hour_24",
        message=f"{int(late.sum())} stamps are written 24:00 and were read as 00:00 of the next day.",
        column=words.name,
        rows=int(late.sum()),
        first_row=int(rows[late.arg_max() or 0]),
    )
    return words.str.replace(r"([T ])24:00(?::00)?$", "${1}23:59:59.999999"), (note,)


def _by_order(words: pl.Series, label: str, rows: pl.Series) -> pl.Series:
    """Day or month first: whichever reads every cell; if both do, whichever makes evenly spaced rows."""
    times = (*_TIMES, *_AM_PM)
    day = _first_that_fits(words, [date + time for date in _DAY_FIRST for time in times])
    month = _first_that_fits(words, [date + time for date in _MONTH_FIRST for time in times])
    if day.null_count() != month.null_count():
        return day if day.null_count() < month.null_count() else month
    if day.null_count() == len(day) or (day == month).all():
        return day
    evenness = [_evenness(reading) for reading in (day, month)]
    if evenness[0] == evenness[1]:
        first = (day != month).fill_null(value=False).arg_max() or 0
        raise DataError(
            f"{words[first]!r} may be day or month first, and nothing in the column tells. Write ISO dates (2024-12-31).",
            file=label,
            column=words.name,
            row=int(rows[first]),
        )
    return day if evenness[0] > evenness[1] else month


def _evenness(stamps: pl.Series) -> float:
    steps = stamps.drop_nulls().diff().drop_nulls().value_counts(sort=True)
    return float(steps["count"][0]) if steps.height else 0.0


def _first_that_fits(words: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Parse with each format in turn what the ones before it could not; formats that fit no probe are not tried in full."""
    parsed = pl.Series(
        words.name, [None], dtype=pl.Datetime("us", "UTC" if "%z" in formats[0] else None)
    ).new_from_index(0, len(words))
    for _ in range(len(formats)):
        left = words.set(parsed.is_not_null(), None)
        probe = left.drop_nulls()
        if not len(probe):
            break
        probe = pl.concat(
            [probe.head(_PROBE_ROWS), probe.gather_every(max(1, len(probe) // _PROBE_ROWS)), probe.tail(10)]
        )
        best = max(formats, key=lambda form, cells=probe: _try(cells, form).count())  # type: ignore[misc] # bound at once
        read = _try(left, best)
        if not read.count():
            break
        parsed = parsed.fill_null(read)
    return parsed


def _try(words: pl.Series, form: str) -> pl.Series:
    if re.search("%[HI]", form):
        return words.str.to_datetime(form, strict=False, time_unit="us")
    return words.str.to_date(form, strict=False).cast(pl.Datetime("us"))


def _done(
    parsed: pl.Series,
    written: pl.Series,
    rows: pl.Series,
    label: str,
    *,
    is_aware: bool,
    notes: tuple[DataNote, ...] = (),
) -> Stamps:
    parsed = _without_last_moment(parsed) if any(note.code == "hour_24" for note in notes) else parsed
    years = parsed.dt.year()
    is_bad = (parsed.is_null() | ~years.is_between(*_YEARS)).fill_null(value=True)
    if is_bad.any():
        first = is_bad.arg_max() or 0
        count = int(is_bad.sum())
        shown = repr(str(written[first])[:40]) if written[first] is not None else "an empty cell"
        if count > _BAD_SHARE * len(parsed):
            raise DataError(
                f"{count} of {len(parsed)} cells are no time stamps, such as {shown}. "
                "Write ISO 8601, such as 2024-12-31T23:00:00+01:00.",
                file=label,
                column=written.name,
                row=int(rows[first]),
            )
        notes = (
            *notes,
            DataNote(
                code="unreadable_stamp",
                message=f"{count} rows have no readable time stamp and were left out, such as {shown} (row {rows[first]}).",
                column=written.name,
                rows=count,
                first_row=int(rows[first]),
            ),
        )
        parsed = parsed.set(is_bad, None)
    return Stamps(parsed, is_aware, notes)


def _without_last_moment(parsed: pl.Series) -> pl.Series:
    late = (parsed.dt.microsecond() == 999_999).fill_null(value=False)  # noqa: PLR2004 - written by `_next_midnight`
    return (
        pl.select(pl.when(late).then(parsed + pl.duration(microseconds=1)).otherwise(parsed))
        .to_series()
        .alias(parsed.name)
    )
