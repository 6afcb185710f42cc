"""From a file to a `PreparedTable`: read, check, repair, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.columns import drop_useless
from aihub.training.data.grid import Axis, find_frequency, on_grid
from aihub.training.data.limits import DEFAULT_LIMITS, Limits
from aihub.training.data.numbers import typed
from aihub.training.data.order import drop_duplicates, drop_strays, move_midnights, sort_rows
from aihub.training.data.raw import ROW, read
from aihub.training.data.repair import repair_values
from aihub.training.data.sources import locate
from aihub.training.data.stamps import countable, parse_stamps
from aihub.training.data.table import DataFingerprint, DataNote, PreparedTable
from aihub.training.data.zones import localise
from aihub.training.frequency import parse_frequency
from aihub.types import ModelType

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from aihub.training.config import TrainingConfig

_FEWEST_ROWS = 10
MAX_SERIES_CHARS = 256
"""As many as a request may ask for: `aihub.serving.contract.MAX_SERIES_CHARS`."""


def load(path: Path | str, config: TrainingConfig, *, limits: Limits = DEFAULT_LIMITS) -> PreparedTable:
    """Read the columns that `config` names from the file at `path`, check and repair them.

    Whatever is repaired leaves a note; what cannot be repaired safely is refused.

    Parameters
    ----------
    path
        CSV (plain, gzip, xz, bzip2, zstd), Parquet, ARFF, or one of these in a zip archive
        (``archive.zip::folder/member.csv`` where there are several).

    Raises
    ------
    DataError
        The file, a column or a row cannot be used; the message says where and what to do.
    """
    source = locate(path)
    stamp, series, target = config.timestamp, config.series_id, config.target
    wanted = [stamp, *([series] if series else []), target, *config.features]
    raw = read(
        source,
        wanted=wanted,
        numeric=[] if config.positive_label else [target, *config.features],
        optional=[stamp] if config.first_timestamp else [],
        limits=limits,
    )
    notes = list(raw.notes)
    label = source.label

    frame, found = with_stamps(raw.frame, config, label)
    notes += found
    frame, found = with_series(frame, config, label)
    notes += found
    frame, found = typed(frame, config, label=label)
    notes += found
    frame, found = _in_utc(frame, config)
    notes += found
    frame, found = _in_window(frame, config, label)
    notes += found
    frame, found = sort_rows(frame, stamp, series)
    notes += found
    frame, found = drop_duplicates(frame, stamp, series, label=label)
    notes += found

    axis = Axis(stamp, series, config.calendar_zone, label)
    asked = parse_frequency(config.frequency) if config.frequency else None
    frequency = find_frequency(frame, axis, asked)
    frame, found = drop_strays(frame, stamp, series, frequency)
    notes += found
    frame, found = on_grid(
        frame,
        axis,
        frequency,
        label_columns=[target] if _is_label(frame, config) else [],
        is_asked=asked is not None,
        may_be_irregular=config.model_type is ModelType.ANOMALY,
    )
    notes += found
    if config.model_type is ModelType.FORECAST and frame.get_column(target).count():
        frame, found = repair_values(
            frame,
            axis,
            frequency,
            target=target,
            features=tuple(config.features),
            holdout_from=_holdout_from(frame, config),
            is_applied=config.repair == "auto",
        )
        notes += found
    frame, features, found = drop_useless(frame, config, label=label)
    notes += found
    return _table(
        frame,
        features,
        tuple(notes),
        config,
        path=source.path,
        label=label,
        sha256=raw.sha256,
        rows=raw.frame.height,
        frequency=frequency,
    )


def with_stamps(
    frame: pl.DataFrame, config: TrainingConfig, label: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Parse the time stamps (naive ones stay naive), leave out rows without, put misplaced midnights right."""
    stamp = config.timestamp
    if stamp not in frame.columns:
        return _numbered(frame, config), (
            DataNote(
                code="made_stamps",
                message=f"The file has no column {stamp!r}: stamps were counted from first_timestamp, {config.frequency} apart.",
                column=stamp,
                rows=frame.height,
            ),
        )
    stamps = parse_stamps(frame.get_column(stamp), frame.get_column(ROW), label=label)
    frame = frame.with_columns(stamps.column.alias(stamp)).filter(pl.col(stamp).is_not_null())
    frame, moved = move_midnights(frame, stamp, config.series_id)
    return frame, (*stamps.notes, *moved)


def _numbered(frame: pl.DataFrame, config: TrainingConfig) -> pl.DataFrame:
    first, frequency = config.first_timestamp, parse_frequency(config.frequency or "1h")
    index = pl.int_range(pl.len())
    if config.series_id is not None:
        index = index.over(config.series_id)
    return frame.with_columns(
        (
            pl.lit(first).cast(pl.Datetime("us", "UTC" if first and first.tzinfo else None))
            + index * frequency
        ).alias(config.timestamp)
    )


def with_series(
    frame: pl.DataFrame, config: TrainingConfig, label: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    """Make the series id text; rows without one are left out with a note, or refused where they are many.

    Raises
    ------
    DataError
        Many rows have no id, or one has an id that nobody could ask the model for later.
    """
    series = config.series_id
    if series is None:
        return frame, ()
    frame = frame.with_columns(_as_names(frame.get_column(series), frame.get_column(ROW), label))
    nameless = frame.filter(pl.col(series).is_null() | (pl.col(series) == ""))
    if not nameless.height:
        return frame, ()
    if nameless.height > frame.height / 100:
        raise DataError(
            f"{nameless.height} rows have no series id. Fill it in, or leave out series_id.",
            file=label,
            column=series,
            row=int(nameless[ROW][0]),
        )
    note = DataNote(
        code="series_id_missing",
        message=f"{nameless.height} rows have no series id and were left out.",
        column=series,
        rows=nameless.height,
        first_row=nameless[ROW][0],
    )
    return frame.filter(pl.col(series).is_not_null() & (pl.col(series) != "")), (note,)


def _as_names(column: pl.Series, rows: pl.Series, label: str) -> pl.Series:
    if column.dtype == pl.Duration:
        raise DataError(
            "holds durations, which name nothing. Name the column that tells meters apart as series_id.",
            file=label,
            column=column.name,
        )
    if isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date:
        column, _ = countable(column)
    names = column.cast(pl.String).str.strip_chars()
    is_wrong = (names.str.len_chars() > MAX_SERIES_CHARS) | names.str.contains("\0", literal=True)
    if is_wrong.any():
        raise DataError(
            f"is a series id of more than {MAX_SERIES_CHARS} characters, or with a zero character. Shorten it.",
            file=label,
            column=column.name,
            row=int(rows[is_wrong.arg_max() or 0]),
        )
    return names


def _in_utc(frame: pl.DataFrame, config: TrainingConfig) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    dtype = frame.schema[config.timestamp]
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return frame, ()
    return localise(frame, config.timestamp, config.stamp_zone, series=config.series_id, target=config.target)


def _in_window(
    frame: pl.DataFrame, config: TrainingConfig, label: str
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    start, end = config.training_window
    inside = frame
    if start is not None:
        inside = inside.filter(pl.col(config.timestamp) >= start)
    if end is not None:
        inside = inside.filter(pl.col(config.timestamp) <= end)
    if inside.height < _FEWEST_ROWS:
        held = frame.select(
            pl.col(config.timestamp).min().alias("a"), pl.col(config.timestamp).max().alias("b")
        ).row(0)
        span = " to ".join(f"{when:%Y-%m-%d %H:%M}" if when else "nothing" for when in held)
        asked = " between training_start and training_end" if start or end else ""
        raise DataError(
            f"has {inside.height} rows{asked} (the file spans {span} UTC); at least {_FEWEST_ROWS} are needed. "
            "Send more rows or widen the window.",
            file=label,
            column=config.timestamp,
        )
    if inside.height == frame.height:
        return frame, ()
    note = DataNote(
        code="outside_window",
        message=f"{frame.height - inside.height} rows lie outside training_start and training_end and were left out.",
        column=config.timestamp,
        rows=frame.height - inside.height,
        repaired=False,
    )
    return inside, (note,)


def _holdout_from(frame: pl.DataFrame, config: TrainingConfig) -> datetime | None:
    """First stamp of the holdout, as `split_time` finds it."""
    known = frame.filter(pl.col(config.target).is_not_null()).get_column(config.timestamp).sort()
    moment: datetime | None = known[min(round(len(known) * (1 - config.validation_split)), len(known) - 1)]
    return moment


def _is_label(frame: pl.DataFrame, config: TrainingConfig) -> bool:
    if config.model_type is not ModelType.ANOMALY or config.labels is False:
        return False
    return bool(frame.select(pl.col(config.target).drop_nulls().is_in([0.0, 1.0]).all()).item())


def _table(
    frame: pl.DataFrame,
    features: tuple[str, ...],
    notes: tuple[DataNote, ...],
    config: TrainingConfig,
    *,
    path: Path,
    label: str,
    sha256: str,
    rows: int,
    frequency: timedelta,
) -> PreparedTable:
    del label
    stamp, series = config.timestamp, config.series_id
    columns = [stamp, *([series] if series else []), config.target, *features]
    ordered = frame.select(columns)
    start, end = ordered.select(pl.col(stamp).min().alias("a"), pl.col(stamp).max().alias("b")).row(0)
    return PreparedTable(
        frame=ordered,
        notes=notes,
        fingerprint=DataFingerprint(sha256=sha256, rows=rows, start=start, end=end),
        frequency=frequency,
        time_zone=config.calendar_zone,
        path=path,
        timestamp=stamp,
        target=config.target,
        series_id=series,
        features=features,
    )
