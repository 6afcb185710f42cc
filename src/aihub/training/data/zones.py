"""From wall clock to UTC: the hour that a spring day does not have and the one that an autumn day has twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from aihub.training.data.raw import ROW
from aihub.training.data.table import DataNote

if TYPE_CHECKING:
    from collections.abc import Sequence

_HALF_HOUR = timedelta(minutes=30)
_WIDE = 3
"""Rows on each side that tell whether the file runs forward or backward around a repeated hour."""
_PROFILE_DAYS = 14
_SKIPPED = pl.col("__early").is_null()
_TWICE = (pl.col("__early") != pl.col("__late")).fill_null(value=False)


@dataclass(frozen=True)
class _Changes:
    """Clock changes that the file covers, by local date."""

    springs: int
    springs_filled: int
    autumns: int
    autumns_doubled: int


def localise(
    frame: pl.DataFrame, stamp: str, zone: str, *, series: str | None, target: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Turn the naive `stamp` column, wall clock of `zone`, into UTC.

    A repeated hour is told apart by file order. Stamps in an hour that the clock skips mean that the file is not wall
    clock: it is then taken as standard time of the zone, unless the daily profile of the target shows that people
    moved with the clock. Each of these leaves a note.

    Parameters
    ----------
    frame
        In file order, with the row number; `stamp` is ``Datetime("us")`` and has no nulls.
    """
    if zone in {"UTC", "Etc/UTC"}:
        return frame.with_columns(pl.col(stamp).dt.replace_time_zone("UTC")), ()
    step = _period_end_step(frame, stamp, zone, series)
    if step is None:
        return _localise(frame, stamp, zone, series=series, target=target)
    begun, notes = _localise(
        frame.with_columns(pl.col(stamp) - step), stamp, zone, series=series, target=target
    )
    note = DataNote(
        code="period_end_stamps",
        message="The stamps mark the end of their period (the hour that spring skips is a step late); "
        "the clock change was applied to its beginning.",
        column=stamp,
        repaired=False,
    )
    return begun.with_columns(pl.col(stamp) + step), (note, *notes)


def _period_end_step(frame: pl.DataFrame, stamp: str, zone: str, series: str | None) -> timedelta | None:
    """Return the step between rows where stamps mark the end of a period: one step earlier, none is in a skipped hour."""
    placed = pl.col(stamp).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").is_null()
    skipped = frame.filter(placed).height
    if not skipped:
        return None
    step_of = pl.col(stamp).diff() if series is None else pl.col(stamp).diff().over(series)
    steps = (
        frame.select(step_of.dt.total_microseconds().abs().alias("s")).to_series().drop_nulls().mode().sort()
    )
    usual = timedelta(microseconds=steps[0]) if len(steps) else timedelta(days=1)
    earlier = (
        (pl.col(stamp) - usual)
        .dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        .is_null()
    )
    return usual if frame.filter(earlier).height == 0 and usual < timedelta(days=1) else None


def _localise(
    frame: pl.DataFrame, stamp: str, zone: str, *, series: str | None, target: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    early = pl.col(stamp).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    late = pl.col(stamp).dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    frame = frame.with_columns(early.alias("__early"), late.alias("__late"))
    keys = [stamp] if series is None else [series, stamp]
    changes = _changes(frame, stamp, zone, keys)
    filled: tuple[DataNote, ...] = ()
    if changes.springs_filled * 2 > changes.springs and not changes.autumns_doubled:
        if not _follows_clock(frame, stamp, target):
            return _standard_time(frame, stamp, zone, changes)
        filled = (
            DataNote(
                code="clock_change_filled",
                message=f"The file has rows in the hour that {zone} skips in spring and one hour too few in autumn, yet its "
                "daily profile follows the clock: it is read as wall clock.",
                column=stamp,
                repaired=False,
            ),
        )
    return _wall_clock(frame, stamp, zone=zone, keys=keys, changes=changes, notes=filled)


def _changes(frame: pl.DataFrame, stamp: str, zone: str, keys: Sequence[str]) -> _Changes:
    first, last = frame.select(pl.col(stamp).min().alias("a"), pl.col(stamp).max().alias("b")).row(0)
    clock = pl.datetime_range(first, last, _HALF_HOUR, eager=True, time_unit="us").alias(stamp)
    probe = pl.DataFrame({stamp: clock}).with_columns(
        pl.col(stamp).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").alias("__early"),
        pl.col(stamp).dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").alias("__late"),
    )
    date = pl.col(stamp).dt.date().alias("date")
    days = frame.select(date.unique())
    springs = probe.filter(_SKIPPED).select(date.unique()).join(days, on="date", how="semi").height
    autumns = frame.filter(_TWICE).select(date.unique()).height
    filled = frame.filter(_SKIPPED).select(date.unique()).height
    doubled = frame.filter(_TWICE).filter(pl.len().over(keys) > 1).select(date.unique()).height
    return _Changes(springs, filled, autumns, doubled)


def _wall_clock(
    frame: pl.DataFrame,
    stamp: str,
    *,
    zone: str,
    keys: Sequence[str],
    changes: _Changes,
    notes: tuple[DataNote, ...],
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    skipped = frame.filter(_SKIPPED)
    if skipped.height:
        notes = (
            *notes,
            DataNote(
                code="skipped_hour",
                message=f"{skipped.height} rows lie in the hour that {zone} skips in spring and were left out.",
                column=stamp,
                rows=skipped.height,
                first_row=skipped[ROW][0],
            ),
        )
    if changes.autumns_doubled:
        forward = pl.col(stamp).diff().dt.total_microseconds().sign().fill_null(0)
        direction = forward.rolling_sum(2 * _WIDE + 1, min_samples=1, center=True)
        order = pl.int_range(pl.len()).over(keys)
        is_second = (
            pl.when(direction >= 0).then(order > 0).otherwise((order == 0) & (pl.len().over(keys) > 1))
        )
        moment = pl.when(_TWICE & is_second).then(pl.col("__late")).otherwise(pl.col("__early"))
        doubled = frame.filter(_TWICE)
        notes = (
            *notes,
            DataNote(
                code="repeated_hour",
                message=f"{changes.autumns_doubled} autumn clock changes repeat an hour; the two were told apart by file order.",
                column=stamp,
                rows=doubled.height,
                first_row=doubled[ROW][0],
                repaired=False,
            ),
        )
    else:
        moment = pl.col("__early")
    missing = changes.autumns - changes.autumns_doubled
    if missing > 0:
        notes = (
            *notes,
            DataNote(
                code="autumn_hour_missing",
                message=f"{missing} of {changes.autumns} autumn clock changes have the repeated hour only once; "
                "it was taken as summer time, and the other counts as missing.",
                column=stamp,
                rows=missing,
                repaired=False,
            ),
        )
    placed = frame.with_columns(moment.dt.convert_time_zone("UTC").alias(stamp)).filter(
        pl.col(stamp).is_not_null()
    )
    return placed.drop("__early", "__late"), notes


def _standard_time(
    frame: pl.DataFrame, stamp: str, zone: str, changes: _Changes
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    offset = pl.col("__early").dt.base_utc_offset().drop_nulls().mode().first()
    placed = frame.with_columns((pl.col(stamp) - offset).dt.replace_time_zone("UTC").alias(stamp))
    note = DataNote(
        code="not_wall_clock",
        message=f"The file has rows in the hour that {zone} skips in spring ({changes.springs_filled} of {changes.springs} "
        f"springs) and never repeats the autumn hour: it is read as standard time of {zone} without summer time. "
        "Set timestamp_zone if that is wrong.",
        column=stamp,
        rows=frame.height,
    )
    return placed.drop("__early", "__late"), (note,)


def _follows_clock(frame: pl.DataFrame, stamp: str, target: str) -> bool:
    """Whether the daily profile stays where it was at the spring change (wall clock) or moves by an hour (standard time)."""
    dates = frame.filter(_SKIPPED).select(pl.col(stamp).dt.date().unique()).to_series()
    stay, move = 0.0, 0.0
    hour = pl.col(stamp).dt.hour().alias("hour")
    for date in dates:
        near = frame.lazy().filter(
            pl.col(stamp)
            .dt.date()
            .is_between(date - timedelta(days=_PROFILE_DAYS), date + timedelta(days=_PROFILE_DAYS)),
            pl.col(stamp).dt.weekday() < 6,  # noqa: PLR2004 - Monday to Friday
            pl.col(stamp).dt.date() != date,
        )
        profile = (
            near.group_by((pl.col(stamp).dt.date() > date).alias("after"), hour)
            .agg(pl.col(target).mean().alias("y"))
            .collect()
            .pivot("after", index="hour", values="y")
            .sort("hour")
        )
        if profile.shape != (24, 3) or profile.null_count().sum_horizontal()[0]:
            continue
        before, after = (profile[name] - profile[name].mean() for name in ("false", "true"))
        stay += float(((after - before) ** 2).sum())
        # In standard time the same habit comes an hour earlier by the file's clock after the spring change.
        earlier = before.gather([(i + 1) % 24 for i in range(24)])
        move += float(((after - earlier) ** 2).sum())
    return stay < move
