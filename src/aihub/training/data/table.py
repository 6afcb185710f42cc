"""What a loaded file is to everybody else: a checked table, what was repaired in it, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.errors import DataError
from aihub.types import iso

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    import polars as pl

    from aihub.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class DataNote:
    """Something that was found in the data, and what was done about it.

    Attributes
    ----------
    code
        Stable word for machines, such as ``duplicate_rows`` or ``unit_change``.
    message
        One sentence for the report: what was found, where, what was done.
    column
        Column of the file, or None where whole rows are meant.
    rows
        Rows concerned.
    first_row
        1-based line of data in the file (the header is not counted), or None for rows that the file does not have.
    repaired
        Whether the table was changed. A note that only informs says False.
    """

    code: str
    message: str
    column: str | None = None
    rows: int = 0
    first_row: int | None = None
    repaired: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the note as JSON-able values."""
        return {
            "code": self.code,
            "message": self.message,
            "column": self.column,
            "rows": self.rows,
            "first_row": self.first_row,
            "repaired": self.repaired,
        }


@dataclass(frozen=True, kw_only=True)
class DataFingerprint:
    """Which data it was.

    Attributes
    ----------
    sha256
        Of the file's bytes as they lie on disk (compressed where it is compressed), hexadecimal.
    rows
        Rows of data in the file, before any repair.
    start, end
        First and last time stamp used, UTC.
    """

    sha256: str
    rows: int
    start: datetime
    end: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the fingerprint as JSON-able values."""
        return {
            "sha256": self.sha256,
            "rows": self.rows,
            "start": iso(self.start),
            "end": iso(self.end),
        }


@dataclass(frozen=True, kw_only=True)
class PreparedTable:
    """A table that can be trained on.

    Attributes
    ----------
    frame
        Sorted by series and time. Time stamps ``Datetime("us", "UTC")``, series id String, target and numeric features
        Float64 (missing is null, never NaN or infinite), categorical features String. Within a series the stamps lie on
        a regular grid of `frequency`; rows that the file does not have are there with a missing target
        (unless a note ``irregular`` says otherwise).
    notes
        What was found, and repaired or left alone, in the order of discovery.
    fingerprint
        Which data it was.
    frequency
        Step between two rows of a series.
    time_zone
        IANA zone in which calendar features are to be computed.
    path
        As the caller gave it.
    features
        Features that can be used: those of the configuration without the ones that a note says are useless.
    """

    frame: pl.DataFrame
    notes: tuple[DataNote, ...]
    fingerprint: DataFingerprint
    frequency: timedelta
    time_zone: str
    path: Path
    timestamp: str
    target: str
    series_id: str | None = None
    features: tuple[str, ...] = field(default=())

    @property
    def series(self) -> tuple[str, ...]:
        """Ids of the series, sorted; empty where the file holds one series without an id."""
        if self.series_id is None:
            return ()
        return tuple(self.frame.get_column(self.series_id).unique().sort().to_list())


def split_time(table: PreparedTable, validation_split: float) -> datetime:
    """Return the first time stamp of the holdout: the quantile ``1 - validation_split`` of all known targets' stamps.

    Raises
    ------
    DataError
        There are fewer than two time stamps with a known target.
    """
    import polars as pl  # noqa: PLC0415 - 0.1 s that `aihub --help` must not pay

    known = table.frame.lazy().filter(pl.col(table.target).is_not_null()).select(table.timestamp)
    stamps = known.collect().get_column(table.timestamp).sort()
    position = min(max(1, round(len(stamps) * (1 - validation_split))), len(stamps) - 1)
    if len(stamps) <= 1 or stamps[position] == stamps[0]:
        raise DataError(
            "too few time stamps to keep a part for validation. Send more rows.",
            file=str(table.path),
            column=table.target,
        )
    moment: datetime = stamps[position]
    return moment


def split(table: PreparedTable, validation_split: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split at one moment for all series: rows before it, and rows from it on.

    Raises
    ------
    DataError
        There are fewer than two time stamps with a known target.
    """
    import polars as pl  # noqa: PLC0415 - as above

    moment = split_time(table, validation_split)
    is_before = pl.col(table.timestamp) < moment
    return table.frame.filter(is_before), table.frame.filter(~is_before)


def load(path: Path | str, config: TrainingConfig) -> PreparedTable:
    """Read, check and repair the file at `path`; see `aihub.training.data.pipeline.load`."""
    from aihub.training.data.pipeline import load as load_file  # noqa: PLC0415 - polars and its readers

    return load_file(path, config)
