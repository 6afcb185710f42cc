"""The regular grid of a series: its step, rows that are missing from it, rows that lie off it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.raw import ROW
from aihub.training.data.table import DataNote
from aihub.training.frequency import format_frequency

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = timedelta(days=1)
_SECOND, _MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
_OFF_GRID_SHARE = 0.02
_SECOND_STEP_SHARE = 0.1
_ROUNDING = 1e-9
_MOST_GROWTH = 20
_FREE_ROWS = 1_000_000
_ALL = "__all"


@dataclass(frozen=True)
class Axis:
    """How the rows of a table are addressed."""

    stamp: str
    series: str | None
    zone: str
    label: str

    @property
    def over(self) -> list[str]:
        """Columns that part the table into series."""
        return [] if self.series is None else [self.series]


def find_frequency(frame: pl.DataFrame, axis: Axis, asked: timedelta | None) -> timedelta:
    """Return the most frequent step between the rows of each series (they must agree), or the one that was `asked` for.

    Raises
    ------
    DataError
        Series have different steps, one series has two, or there are too few rows to tell.
    """
    if asked is not None:
        return asked
    step = pl.col(axis.stamp).diff().alias("step")
    if axis.series is not None:
        step = step.over(axis.series)
    group = pl.col(axis.series) if axis.series is not None else pl.lit("").alias(_ALL)
    steps = frame.select(group, step).drop_nulls("step").group_by(group.meta.output_name(), "step").len()
    if not steps.height:
        raise DataError(
            "has one row a series, so no step between rows can be told. Send more rows.",
            file=axis.label,
            column=axis.stamp,
        )
    name = steps.columns[0]
    usual = (
        steps.sort("len", "step", descending=[True, False])
        .group_by(name, maintain_order=True)
        .agg(pl.col("step").first(), pl.col("len").sum().alias("rows"))
        .sort("rows", name, descending=[True, False])
    )
    most = (
        usual.group_by("step", maintain_order=True)
        .agg(pl.col("rows").sum(), pl.col(name).first())
        .sort("rows", descending=True)
    )
    if most.height > 1:
        (first, _, one), (second, _, other) = most.head(2).rows()
        raise DataError(
            f"series {one!r} has a row every {format_frequency(first)} and series {other!r} every {format_frequency(second)}. "
            "Train them apart, or set frequency to the longer step.",
            file=axis.label,
            column=axis.stamp,
        )
    frequency: timedelta = most["step"][0]
    if frequency < _SECOND:
        raise DataError(
            f"has rows {frequency / _MILLISECOND:g} ms apart; the finest step is 1 s. "
            "Set frequency to the step that the rows are to be averaged into, such as frequency: 1min.",
            file=axis.label,
            column=axis.stamp,
        )
    if frequency < _DAY:
        _refuse_two_steps(frame, steps, step, frequency, axis)
    return frequency


def _refuse_two_steps(
    frame: pl.DataFrame, steps: pl.DataFrame, step: pl.Expr, usual: timedelta, axis: Axis
) -> None:
    totals = steps.group_by("step").agg(pl.col("len").sum()).sort("len", descending=True)
    if totals.height == 1:
        return
    second, count = totals.row(1)
    ratio = second / usual
    is_whole = any(abs(part - round(part)) < _ROUNDING for part in (ratio, 1 / ratio))
    if count < _SECOND_STEP_SHARE * int(totals["len"].sum()) or not is_whole:
        return
    # Two steps that alternate are gaps; two that each go on for long are two frequencies.
    runs = frame.select((step == second).fill_null(value=False).rle()).to_series().struct.unnest()
    long = runs.filter(pl.col("value")).select((pl.col("len") * (pl.col("len") >= 10)).sum()).item()  # noqa: PLR2004 - ten in a row
    if long > count / 2:
        first = frame.filter(step == second)[ROW][0]
        raise DataError(
            f"rows are {format_frequency(usual)} apart in one part and {format_frequency(second)} in another. "
            f"Set frequency: {format_frequency(max(usual, second))} to average the finer part, or split the file.",
            file=axis.label,
            column=axis.stamp,
            row=int(first),
        )


def on_grid(
    frame: pl.DataFrame,
    axis: Axis,
    frequency: timedelta,
    *,
    label_columns: Sequence[str],
    is_asked: bool,
    may_be_irregular: bool,
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Bring the rows onto the grid of each series and insert the ones that are missing, with missing values.

    Parameters
    ----------
    frame
        Sorted, each stamp once a series.
    label_columns
        0/1 columns: where rows are averaged, one 1 among them makes a 1.
    is_asked
        The frequency was asked for: rows between its steps are averaged into them.
    may_be_irregular
        Leave rows that are on no grid as they are, with a note, instead of refusing.

    Raises
    ------
    DataError
        Rows lie on no grid, or the gaps are so wide that the grid would be many times the file.
    """
    notes: tuple[DataNote, ...] = ()
    clock = _clock(frame, axis, frequency)
    position = _position(clock, frequency)
    if axis.series is not None:
        position = position.over(axis.series)
    placed = frame.with_columns(position.alias("__at"))
    off = placed.filter((pl.col("__at") - pl.col("__at").round()).abs() > _ROUNDING)
    if off.height:
        if is_asked:
            return _averaged(frame, axis, frequency, label_columns)
        share = off.height / frame.height
        if share > _OFF_GRID_SHARE:
            return _irregular(frame, off, axis, frequency, may_be_irregular=may_be_irregular)
        frame, notes = _snapped(placed, off, axis, frequency)
    elif is_asked and _is_finer(frame, axis, frequency):
        return _averaged(frame, axis, frequency, label_columns)
    filled, more = _filled(frame, axis, frequency)
    return filled, (*notes, *more)


def _is_finer(frame: pl.DataFrame, axis: Axis, frequency: timedelta) -> bool:
    step = pl.col(axis.stamp).diff()
    step = step.over(axis.series) if axis.series is not None else step
    return bool(frame.select((step < frequency).any()).item())


def _clock(frame: pl.DataFrame, axis: Axis, frequency: timedelta) -> pl.Expr:
    """UTC, or local time where the step is days and the rows keep to local midnight across clock changes."""
    if frequency % _DAY or axis.zone == "UTC":
        return pl.col(axis.stamp)
    local = pl.col(axis.stamp).dt.convert_time_zone(axis.zone).dt.replace_time_zone(None)
    kinds = frame.select(
        local.dt.time().n_unique().alias("local"), pl.col(axis.stamp).dt.time().n_unique().alias("utc")
    ).row(0)
    return local if kinds[0] < kinds[1] or kinds == (1, 1) else pl.col(axis.stamp)


def _position(clock: pl.Expr, frequency: timedelta) -> pl.Expr:
    return (clock - clock.min()).dt.total_microseconds() / (frequency / timedelta(microseconds=1))


def _snapped(
    placed: pl.DataFrame, off: pl.DataFrame, axis: Axis, frequency: timedelta
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    shift = (pl.col("__at").round() - pl.col("__at")) * (frequency / timedelta(microseconds=1))
    moved = placed.with_columns(pl.col(axis.stamp) + pl.duration(microseconds=shift.round().cast(pl.Int64)))
    # Where a moved row meets one that was on the grid, the one that was there stays.
    moved = moved.with_columns((pl.col("__at") - pl.col("__at").round()).abs().alias("__off"))
    moved = moved.sort([*axis.over, axis.stamp, "__off"]).unique(
        [*axis.over, axis.stamp], keep="first", maintain_order=True
    )
    note = DataNote(
        code="off_grid",
        message=f"{off.height} rows lie between the {format_frequency(frequency)} steps and were moved to the nearest one; "
        f"{placed.height - moved.height} that met another row there were left out.",
        column=axis.stamp,
        rows=off.height,
        first_row=off[ROW].min(),  # type: ignore[arg-type] # the row numbers are integers
    )
    return moved.drop("__at", "__off"), (note,)


def _irregular(
    frame: pl.DataFrame, off: pl.DataFrame, axis: Axis, frequency: timedelta, *, may_be_irregular: bool
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    share = off.height / frame.height
    if not may_be_irregular:
        step = "Set frequency to the step that the rows are to be averaged into, such as frequency: 1h."
        if _are_days_of_another_zone(off, frequency):
            step = "Days that begin an hour earlier in summer are those of a time zone: set it, such as time_zone: Europe/Berlin."
        raise DataError(
            f"{share:.0%} of the rows do not lie on steps of {format_frequency(frequency)}. {step}",
            file=axis.label,
            column=axis.stamp,
            row=int(off[ROW].min()),  # type: ignore[arg-type] # as above
        )
    note = DataNote(
        code="irregular",
        message=f"{share:.0%} of the rows do not lie on steps of {format_frequency(frequency)}; they were left as they are, "
        "and gaps were not filled. Set frequency to have them averaged.",
        column=axis.stamp,
        rows=off.height,
        first_row=off[ROW].min(),  # type: ignore[arg-type] # as above
        repaired=False,
    )
    return frame, (note,)


def _are_days_of_another_zone(off: pl.DataFrame, frequency: timedelta) -> bool:
    """Return whether all that lies beside the grid of days does so by the hour that a clock is put forward or back."""
    if frequency % timedelta(days=1):
        return False
    beside = (off["__at"] - off["__at"].round()).abs() * (frequency / timedelta(hours=1))
    return bool((beside - 1).abs().max() < _ROUNDING)  # type: ignore[operator] # there are rows, and they are numbers


def _averaged(
    frame: pl.DataFrame, axis: Axis, frequency: timedelta, label_columns: Sequence[str]
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    text = format_frequency(frequency).replace("min", "m")
    values = [name for name in frame.columns if name not in {axis.stamp, axis.series, ROW}]
    aggregates = [
        pl.col(name).max()
        if name in label_columns
        else pl.col(name).mean()
        if frame.schema[name] == pl.Float64
        else pl.col(name).first()
        for name in values
    ]
    local = pl.col(axis.stamp).dt.convert_time_zone(axis.zone).dt.truncate(text).dt.convert_time_zone("UTC")
    keys = [*axis.over, axis.stamp]
    coarse = (
        frame.with_columns(local)
        .group_by(keys, maintain_order=True)
        .agg(pl.col(ROW).first(), *aggregates)
        .sort(keys)
    )
    note = DataNote(
        code="averaged",
        message=f"{frame.height} rows were averaged into {coarse.height} steps of {format_frequency(frequency)}.",
        column=axis.stamp,
        rows=frame.height,
    )
    filled, notes = _filled(coarse, axis, frequency)
    return filled, (note, *notes)


def _filled(
    frame: pl.DataFrame, axis: Axis, frequency: timedelta
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    clock = _clock(frame, axis, frequency)
    spans = frame.group_by(axis.over or pl.lit("").alias(_ALL)).agg(
        clock.min().alias("a"), clock.max().alias("b"), pl.len().alias("n")
    )
    size = int(spans.select((((pl.col("b") - pl.col("a")) / frequency).round() + 1).sum()).item())
    missing = size - frame.height
    if missing <= 0:
        return frame, ()
    if size > _MOST_GROWTH * frame.height + _FREE_ROWS:
        raise DataError(
            f"the gaps are so wide that {size} steps of {format_frequency(frequency)} would hold {frame.height} rows. "
            "Set training_start and training_end, or a longer frequency.",
            file=axis.label,
            column=axis.stamp,
        )
    grid = spans.select(*axis.over, pl.datetime_ranges("a", "b", frequency).alias(axis.stamp)).explode(
        axis.stamp
    )
    if clock.meta.output_name() and frame.select(clock).dtypes[0].time_zone is None:  # type: ignore[attr-defined] # a Datetime
        back = pl.col(axis.stamp).dt.replace_time_zone(axis.zone, ambiguous="earliest", non_existent="null")
        grid = grid.with_columns(back.dt.convert_time_zone("UTC")).drop_nulls(axis.stamp)
    keys = [*axis.over, axis.stamp]
    full = (
        grid.with_columns(pl.col(axis.stamp).cast(frame.schema[axis.stamp]))
        .sort(keys)
        .join(frame, on=keys, how="left")
    )
    absent = full.filter(pl.col(ROW).is_null())
    if not absent.height:
        return frame, ()
    gaps = (
        full.select((pl.col(ROW).is_null()).rle().struct.unnest()).filter(pl.col("value")).get_column("len")
    )
    longest = max(gaps.to_list())
    note = DataNote(
        code="missing_rows",
        message=f"{absent.height} rows are missing from the {format_frequency(frequency)} grid (longest gap {longest} rows, first at "
        f"{absent.item(0, axis.stamp):%Y-%m-%d %H:%M} UTC); they were inserted with a missing target.",
        column=axis.stamp,
        rows=absent.height,
    )
    return full.select(frame.columns), (note,)
