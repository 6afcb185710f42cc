"""Rows in order and each stamp once: midnights of the wrong day, unsorted rows, duplicates, stray stamps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.raw import ROW
from aihub.training.data.table import DataNote

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = timedelta(days=1)
_MOST_CONFLICTS = 0.05
_STRAY_GAP = timedelta(days=30)
_STRAY_GAP_STEPS = 500
_STRAY_SHARE = 0.001


def move_midnights(
    frame: pl.DataFrame, stamp: str, series: str | None
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Move a midnight that follows 23:45 of its own date to the next day, where the row after it is 00:15 of that day.

    Some loggers label the end of a day 00:00 of the day that ends: time seems to run backward once a day.
    """
    step = pl.col(stamp).diff()
    ahead = pl.col(stamp).diff(-1) * -1
    if series is not None:
        step, ahead = step.over(series), ahead.over(series)
    known = frame.select(step.alias("s")).to_series().drop_nulls()
    if not len(known) or not (known < timedelta(0)).any():
        return frame, ()
    usual = known.mode().sort()[0]
    if not timedelta(0) < usual < _DAY:
        return frame, ()
    is_late = (
        (step == usual - _DAY)
        & ((ahead == _DAY + usual) | ahead.is_null())
        & (pl.col(stamp).dt.time() == pl.time(0, 0))
    )
    wrong = frame.filter(is_late)
    if not wrong.height:
        return frame, ()
    note = DataNote(
        code="midnight_of_wrong_day",
        message=f"{wrong.height} rows at 00:00 carry the date of the day that ends; they were moved to the next day.",
        column=stamp,
        rows=wrong.height,
        first_row=wrong[ROW][0],
    )
    return frame.with_columns(
        pl.when(is_late).then(pl.col(stamp) + _DAY).otherwise(pl.col(stamp)).alias(stamp)
    ), (note,)


def sort_rows(
    frame: pl.DataFrame, stamp: str, series: str | None
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Sort by series and time; rows with the same stamp keep the order of the file."""
    backward = pl.col(stamp).diff() < timedelta(0)
    if series is not None:
        backward = backward.over(series)
    late = frame.filter(backward)
    keys = [stamp] if series is None else [series, stamp]
    ordered = frame if series is None and not late.height else frame.sort([*keys, ROW])
    if not late.height:
        return ordered, ()
    note = DataNote(
        code="unsorted",
        message=f"{late.height} rows are earlier than the row before them; the rows were sorted by time.",
        column=stamp,
        rows=late.height,
        first_row=late[ROW][0],
    )
    return ordered, (note,)


def drop_duplicates(
    frame: pl.DataFrame, stamp: str, series: str | None, *, label: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Keep one row a stamp: the first in the file, with its missing cells filled from the others.

    Raises
    ------
    DataError
        More than 5 % of the rows contradict another row of the same stamp: a series id is missing.
    """
    keys = [stamp] if series is None else [series, stamp]
    is_again = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys).fill_null(value=False)
    again = frame.select(is_again.alias("again")).to_series()
    if not again.any():
        return frame, ()
    values = [name for name in frame.columns if name not in {*keys, ROW}]
    group = frame.filter(again | again.shift(-1, fill_value=False))
    identical = group.filter(pl.struct(values).n_unique().over(keys) == 1)
    conflicting = group.filter(pl.struct(values).n_unique().over(keys) > 1)
    notes = []
    if identical.height:
        repeats = identical.filter(pl.int_range(pl.len()).over(keys) > 0)
        notes.append(
            DataNote(
                code="duplicate_rows",
                message=f"{repeats.height} rows repeat another row exactly and were left out.",
                column=stamp,
                rows=repeats.height,
                first_row=repeats[ROW][0],
            )
        )
    if conflicting.height:
        notes.append(_conflict_note(conflicting, frame.height, keys, series, label))
        first = conflicting.group_by(keys, maintain_order=True).agg(
            pl.col(ROW).first(), pl.col(values).drop_nulls().first()
        )
        frame = frame.filter(~again).update(first.select(ROW, *values), on=ROW, how="left")
    else:
        frame = frame.filter(~again)
    return frame, tuple(notes)


def _conflict_note(
    conflicting: pl.DataFrame, height: int, keys: Sequence[str], series: str | None, label: str
) -> DataNote:
    others = conflicting.filter(pl.int_range(pl.len()).over(keys) > 0)
    stamp = keys[-1]
    if others.height > _MOST_CONFLICTS * height:
        hint = (
            "Name the column that tells meters apart as series_id."
            if series is None
            else "Keep one row a stamp and series."
        )
        raise DataError(
            f"{others.height} rows have the stamp of another row but different values. {hint}",
            file=label,
            column=stamp,
            row=int(others[ROW][0]),
        )
    return DataNote(
        code="duplicate_stamps",
        message=f"{others.height} rows have the stamp of an earlier row but different values; the first one in the file was kept.",
        column=stamp,
        rows=others.height,
        first_row=others[ROW][0],
    )


def drop_strays(
    frame: pl.DataFrame, stamp: str, series: str | None, frequency: timedelta
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Leave out a few rows at either end that a huge gap separates from all others.

    A stamp with a mistyped year would stretch the grid by years of missing rows. Huge is more than 30 days and 500
    steps; a few is at most 0.1 % of the series' rows (at least 2) and less than 1 % of what the gap would hold.
    """
    over = [] if series is None else [series]
    gap = pl.col(stamp).diff().over(over) if over else pl.col(stamp).diff()
    huge = max(_STRAY_GAP, frequency * _STRAY_GAP_STEPS)
    wide = frame.with_row_index("__at").with_columns(gap.alias("__gap")).filter(pl.col("__gap") > huge)
    if not wide.height:
        return frame, ()
    bounds = _bounds(frame, series)
    dropped: list[int] = []
    for at, span, name in wide.select(
        "__at", "__gap", pl.col(series) if series else pl.lit(None).alias("__one")
    ).iter_rows():
        first, last = bounds[name]
        few = max(2, round((last - first) * _STRAY_SHARE))
        for start, stop in ((first, at), (at, last)):
            if stop - start <= min(few, span / frequency / 100) and stop - start < (last - first) / 2:
                dropped.extend(range(start, stop))
    if not dropped:
        return frame, ()
    stray = frame[sorted(set(dropped))]
    shown = ", ".join(
        f"{when:%Y-%m-%d %H:%M} (row {row})" for when, row in stray.select(stamp, ROW).head(3).iter_rows()
    )
    note = DataNote(
        code="stray_stamps",
        message=f"{stray.height} rows lie far from all others and were left out: {shown}.",
        column=stamp,
        rows=stray.height,
        first_row=stray[ROW].min(),  # type: ignore[arg-type] # the row numbers are integers
    )
    return frame.filter(~pl.col(ROW).is_in(stray[ROW].implode())), (note,)


def _bounds(frame: pl.DataFrame, series: str | None) -> dict[str | None, tuple[int, int]]:
    if series is None:
        return {None: (0, frame.height)}
    spans = (
        frame.with_row_index("__at")
        .group_by(series)
        .agg(pl.col("__at").min().alias("a"), pl.col("__at").max().alias("b"))
    )
    return {name: (a, b + 1) for name, a, b in spans.select(series, "a", "b").iter_rows()}
