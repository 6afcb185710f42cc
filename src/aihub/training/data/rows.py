"""Rows to ask a model about: read and typed as in training, but neither repaired nor put on a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from aihub.training.data.limits import DEFAULT_LIMITS, Limits
from aihub.training.data.numbers import typed
from aihub.training.data.pipeline import with_series, with_stamps
from aihub.training.data.raw import ROW, read
from aihub.training.data.sources import locate
from aihub.training.data.zones import localise

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.training.config import TrainingConfig


def load_rows(path: Path | str, config: TrainingConfig, *, limits: Limits = DEFAULT_LIMITS) -> pl.DataFrame:
    """Read time stamp, series id, features and, where the file has it, the target; in the order of the file.

    A missing target is added empty: the hours to come have none yet.

    Raises
    ------
    DataError
        The file, a column or a row cannot be used; the message says where and what to do.
    """
    source = locate(path)
    stamp, series, target = config.timestamp, config.series_id, config.target
    raw = read(
        source,
        wanted=[stamp, *([series] if series else []), target, *config.features],
        numeric=[] if config.positive_label else [target, *config.features],
        optional=[target, *([stamp] if config.first_timestamp else [])],
        limits=limits,
    )
    frame = raw.frame
    is_unknown = target not in frame.columns or frame.get_column(target).null_count() == frame.height
    if is_unknown:
        frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(target))
    frame, _ = with_stamps(frame, config, source.label)
    frame, _ = with_series(frame, config, source.label)
    unlabelled = config.model_copy(update={"positive_label": None}) if is_unknown else config
    frame, _ = typed(frame, unlabelled, label=source.label)
    dtype = frame.schema[stamp]
    if not (isinstance(dtype, pl.Datetime) and dtype.time_zone is not None):
        frame, _ = localise(frame, stamp, config.stamp_zone, series=series, target=target)
    return frame.sort(ROW).drop(ROW)
