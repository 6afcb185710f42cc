"""Corrects faulty values of every series and says what it did, without letting the holdout decide about training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from aihub.training.data.clocks import clean_clock
from aihub.training.data.faults import Fault, clean_target, sentinels
from aihub.training.data.raw import ROW
from aihub.training.data.table import DataNote
from aihub.training.data.temperatures import clean_temperature
from aihub.training.frequency import steps_per_day

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from numpy.typing import NDArray

    from aihub.training.data.grid import Axis
    from aihub.types import FloatArray

_HOUR_S = 3600
_SHOWN = 3
_WHAT = {
    "sentinel": ("{rows} values of {column!r} are a word for missing ({detail})", "count as missing"),
    "zero_load": ("{rows} values of {column!r} are zero, where it never comes near zero", "count as missing"),
    "negative_load": (
        "{rows} values of {column!r} are negative, where it never comes near zero",
        "count as missing",
    ),
    "unit_change": (
        "{rows} values of {column!r} are {detail} times what they should be, like another unit",
        "were scaled back",
    ),
    "stuck_meter": (
        "{rows} values of {column!r} repeat {detail} while it should have moved",
        "count as missing",
    ),
    "spike": ("{rows} values of {column!r} jump away and back, such as {detail}", "count as missing"),
    "clock_shift": (
        "{rows} values of {column!r} come an hour {detail} by the daily shape",
        "were moved back",
    ),
    "temperature_unit": ("{rows} values of {column!r} are {detail}", "were converted"),
}


@dataclass(frozen=True)
class _Found:
    fault: Fault
    column: str
    first: datetime
    row: int | None
    in_holdout: bool


def repair_values(
    frame: pl.DataFrame,
    axis: Axis,
    frequency: timedelta,
    *,
    target: str,
    features: tuple[str, ...],
    holdout_from: datetime | None,
    is_applied: bool,
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Look for faults of measurement in the target and in weather columns.

    Rows before `holdout_from` are judged by rows before it only: what comes later changes no training row.

    Parameters
    ----------
    frame
        On the grid, sorted by series and time, with row numbers.
    is_applied
        Correct what is found; else only report it.
    """
    per_day = steps_per_day(frequency)
    per_hour = round(_HOUR_S / frequency.total_seconds()) if frequency.total_seconds() <= _HOUR_S else 0
    stamps = frame.get_column(axis.stamp)
    boundary = len(stamps) if holdout_from is None else -1
    local = _local_positions(stamps, axis.zone, frequency)
    is_later = np.zeros(len(stamps), dtype=bool) if boundary >= 0 else (stamps >= holdout_from).to_numpy()
    numbers = frame.get_column(ROW)
    found: list[_Found] = []
    columns = {}
    for name in (target, *(f for f in features if frame.schema[f] == pl.Float64)):
        values = frame.get_column(name).to_numpy().astype(np.float64)
        cleaned = values.copy()
        for start, stop in _series_bounds(frame, axis):
            split = start + int(np.sum(~is_later[start:stop]))
            for part, keep in (((start, split), (start, split)), ((start, stop), (split, stop))):
                if keep[0] == keep[1]:
                    continue
                window = slice(*part)
                better, faults = (
                    _clean_target(values[window], local[window], per_day, per_hour)
                    if name == target
                    else _clean_feature(values[window])
                )
                cleaned[keep[0] : keep[1]] = better[keep[0] - part[0] : keep[1] - part[0]]
                for fault in faults:
                    first, last = max(fault.start + part[0], keep[0]), min(fault.stop + part[0], keep[1])
                    if first < last:
                        found.append(
                            _Found(
                                Fault(fault.kind, first, last, fault.detail),
                                name,
                                stamps[first],
                                numbers[first],
                                bool(is_later[first]),
                            )
                        )
        if is_applied and not np.array_equal(values, cleaned, equal_nan=True):
            columns[name] = pl.Series(name, cleaned).fill_nan(None)
    return frame.with_columns(**columns), _notes(found, is_applied=is_applied)


def _series_bounds(frame: pl.DataFrame, axis: Axis) -> list[tuple[int, int]]:
    if axis.series is None:
        return [(0, frame.height)]
    lengths = frame.get_column(axis.series).rle().struct.field("len").to_list()
    ends = np.cumsum(lengths).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _local_positions(stamps: pl.Series, zone: str, frequency: timedelta) -> NDArray[np.int64]:
    wall = stamps.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.epoch("us").to_numpy()
    return np.asarray(wall // round(frequency.total_seconds() * 1e6), dtype=np.int64)


def _clean_target(
    values: FloatArray, local: NDArray[np.int64], per_day: int, per_hour: int
) -> tuple[FloatArray, list[Fault]]:
    cleaned, faults = clean_target(values, per_day)
    cleaned, shifted = clean_clock(cleaned, local, per_day, per_hour)
    return cleaned, [*faults, *shifted]


def _clean_feature(values: FloatArray) -> tuple[FloatArray, list[Fault]]:
    cleaned = values.copy()
    faults = sentinels(cleaned)
    cleaned, converted = clean_temperature(cleaned)
    return cleaned, [*faults, *converted]


def _notes(found: list[_Found], *, is_applied: bool) -> tuple[DataNote, ...]:
    notes = []
    for column, kind in dict.fromkeys((item.column, item.fault.kind) for item in found):
        here = [item for item in found if (item.column, item.fault.kind) == (column, kind)]
        rows = sum(item.fault.stop - item.fault.start for item in here)
        detail = Counter(item.fault.detail for item in here).most_common(1)[0][0]
        what, done = _WHAT[kind]
        later = sum(item.fault.stop - item.fault.start for item in here if item.in_holdout)
        where = ", ".join(f"{item.first:%Y-%m-%d %H:%M}" for item in here[:_SHOWN]) + (
            ", ..." if len(here) > _SHOWN else ""
        )
        notes.append(
            DataNote(
                code=kind,
                message=f"{what.format(rows=rows, column=column, detail=detail)}; they {done if is_applied else 'were left alone'} "
                f"(from {where} UTC{f'; {later} in the holdout' if later else ''}).",
                column=column,
                rows=rows,
                first_row=next((item.row for item in here if item.row is not None), None),
                repaired=is_applied,
            )
        )
    return tuple(notes)
