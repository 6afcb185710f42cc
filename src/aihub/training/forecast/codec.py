"""From tables as callers send them to numbers, and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError, did_you_mean
from aihub.training.forecast.features import TARGET
from aihub.training.forecast.panel import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.training.forecast.panel import IntArray
    from aihub.types import FloatArray

SAID = "said "
"""Before the name of a column of words: whether a row names one at all."""
_EARLY_US = 10_000
"""How early a stamp may be for its step, per second of the step: a hundredth, as in `aihub.monitoring.timegrid`."""
_SLACK_S = 7200
"""How early a stamp may be for its local day: rows that keep to UTC are an hour off for half of the year."""


@dataclass(frozen=True)
class Codec:
    """Knows the columns, the grid and the words of a model.

    Attributes
    ----------
    config
        What the model was trained from.
    step_s, offset_s
        Step ``k`` begins ``k * step_s + offset_s`` seconds after 1970-01-01 on `clock`.
    series
        Ids by index; one empty id where the data has no series column.
    words
        Per categorical column its words in training; the code is the index.
    numbers
        Numeric features.
    zone
        IANA zone of the calendar.
    clock
        IANA zone whose wall clock the steps are counted on. It is UTC but where a step is days and the rows keep to a
        local time of day: a local day has 23 or 25 hours twice a year, and is one step all the same.
    """

    config: TrainingConfig
    step_s: int
    offset_s: int
    series: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    numbers: tuple[str, ...]
    zone: str
    clock: str = "UTC"

    @property
    def step_zone(self) -> str:
        """Zone of the calendar, seen from where the steps are counted: steps of a local clock are local time already."""
        return self.zone if self.clock == "UTC" else "UTC"

    @property
    def columns(self) -> tuple[str, ...]:
        """Feature columns."""
        return (*self.numbers, *self.words)

    def frame(self, data: Any, *, what: str) -> pl.DataFrame:
        """Return `data` (pandas, polars, Arrow) as polars."""
        import narwhals as nw  # noqa: PLC0415 - as polars: 0.1 s that only training and prediction pay
        import polars as pl  # noqa: PLC0415 - as above

        if isinstance(data, pl.DataFrame):
            return data
        if isinstance(data, pl.LazyFrame):
            return data.collect()
        try:
            converted: pl.DataFrame = nw.from_native(data, eager_only=True).to_polars()
        except TypeError:
            raise DataError(
                f"{what} is a {type(data).__name__}; send a pandas, polars or Arrow table."
            ) from None
        return converted

    def table(
        self, data: Any, *, what: str, extra: tuple[str, ...] = (), target: bool, features: bool = True
    ) -> Table:
        """Read rows as numbers, in row order.

        Parameters
        ----------
        data
            Table of the caller.
        what
            Name of the table in messages.
        extra
            Ids of series that are not in `series` and come after them.
        target
            Whether the target is read (and must be there).
        features
            Whether every feature must be there; otherwise those that are there are read.

        Raises
        ------
        DataError
            A column is missing, a stamp cannot be read, a series is unknown, a feature is not a number.
        """
        frame = self.frame(data, what=what)
        columns: dict[str, FloatArray] = {}
        for name in self.columns:
            if name in frame.columns:
                columns[name] = self._numbers(frame, name, what)
            elif features:
                raise DataError(
                    f"{what} has no such column.{did_you_mean(name, frame.columns)} Add it, empty where it is not known.",
                    column=name,
                )
        if target:
            columns[TARGET] = self._numbers(frame, self._there(frame, self.config.target, what), what)
        return Table(self._series(frame, what, extra), self._steps(frame, what), columns)

    def said(self, data: Any, table: Table, *, what: str) -> Table:
        """Mark where the rows of `data`, read as `table`, name a word: 1, also for one that training did not know; else NaN."""
        frame = self.frame(data, what=what)
        marks = {
            SAID + name: np.where(frame.get_column(name).is_not_null().to_numpy(), 1.0, np.nan)
            for name in self.words
            if name in frame.columns
        }
        return Table(table.series, table.step, marks)

    def new_series(self, data: Any, *, what: str) -> tuple[str, ...]:
        """Ids in `data` that are not in `series`, sorted."""
        if self.config.series_id is None:
            return ()
        frame = self.frame(data, what=what)
        ids = frame.get_column(self._there(frame, self.config.series_id, what)).cast(str_type()).unique()
        return tuple(sorted(set(ids.drop_nulls().to_list()) - set(self.series)))

    def stamps(self, step: IntArray) -> pl.Series:
        """Time stamps (UTC) of `step`."""
        import polars as pl  # noqa: PLC0415 - as above

        micros = (step * self.step_s + self.offset_s) * 1_000_000
        wall = pl.Series(self.config.timestamp, micros).cast(pl.Datetime("us"))
        if self.clock == "UTC":
            return wall.dt.replace_time_zone("UTC")
        # Where the clock skips midnight, the day begins an hour later.
        placed, later = (
            one.dt.replace_time_zone(self.clock, ambiguous="earliest", non_existent="null")
            for one in (wall, wall + timedelta(hours=1))
        )
        return placed.fill_null(later).dt.convert_time_zone("UTC")

    def steps(self, micros: IntArray) -> IntArray:
        """Return the steps in which the times `micros` (microseconds since 1970 UTC) lie; 09:59:59.9 lies in that of 10:00."""
        if self.clock == "UTC":
            return ((micros + _EARLY_US * self.step_s) // 1_000_000 - self.offset_s) // self.step_s
        import polars as pl  # noqa: PLC0415 - as above

        local = pl.Series(micros).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(self.clock)
        wall = local.dt.replace_time_zone(None).dt.epoch("s").to_numpy()
        return np.asarray((wall - self.offset_s + _SLACK_S) // self.step_s, dtype=np.int64)

    def _there(self, frame: pl.DataFrame, name: str, what: str) -> str:
        if name not in frame.columns:
            raise DataError(
                f"{what} has no such column.{did_you_mean(name, frame.columns)} Add it.", column=name
            )
        return name

    def _numbers(self, frame: pl.DataFrame, name: str, what: str) -> FloatArray:
        import polars as pl  # noqa: PLC0415 - as above

        column = frame.get_column(name)
        if name in self.words:
            codes = {word: float(code) for code, word in enumerate(self.words[name])}
            return np.array([codes.get(word, np.nan) for word in column.cast(pl.String).to_list()])
        try:
            values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        except pl.exceptions.InvalidOperationError as error:
            raise DataError(
                f"{what} holds something that is not a number ({error}). Correct it or leave it empty.",
                column=name,
            ) from error
        values = np.array(values, dtype=np.float64)
        values[~np.isfinite(values)] = np.nan
        return values

    def _series(self, frame: pl.DataFrame, what: str, extra: tuple[str, ...]) -> IntArray:
        name = self.config.series_id
        if name is None:
            return np.zeros(frame.height, dtype=np.int64)
        index = {series: at for at, series in enumerate((*self.series, *extra))}
        ids = frame.get_column(self._there(frame, name, what)).cast(str_type()).to_list()
        for row, value in enumerate(ids, start=1):
            if value not in index:
                raise DataError(
                    f"{what} has series {value!r}, which the model has not seen.{did_you_mean(str(value), self.series)} "
                    "Pass its past as history.",
                    column=name,
                    row=row,
                )
        return np.array([index[value] for value in ids], dtype=np.int64)

    def _steps(self, frame: pl.DataFrame, what: str) -> IntArray:
        import polars as pl  # noqa: PLC0415 - as above

        name = self._there(frame, self.config.timestamp, what)
        stamps = frame.get_column(name)
        if stamps.dtype == pl.String:
            stamps = stamps.str.to_datetime(strict=False)
        if not isinstance(stamps.dtype, pl.Datetime | pl.Date):
            raise DataError(
                f"{what} has {stamps.dtype} where a time stamp is needed. Convert it.", column=name
            )
        stamps = stamps.cast(pl.Datetime("us", getattr(stamps.dtype, "time_zone", None)))
        if stamps.null_count():
            row = int(stamps.is_null().arg_max() or 0) + 1
            raise DataError(
                f"{what} has no readable time stamp. Correct or remove the row.", column=name, row=row
            )
        return self.steps(self._utc(stamps, frame).dt.epoch("us").to_numpy())

    def _utc(self, stamps: pl.Series, frame: pl.DataFrame) -> pl.Series:
        """Wall clock to UTC; of an hour that occurs twice, the first row is the earlier one."""
        import polars as pl  # noqa: PLC0415 - as above

        if getattr(stamps.dtype, "time_zone", None) is not None:
            return stamps.dt.convert_time_zone("UTC")
        zone = self.config.stamp_zone
        keys = [stamps.alias("_stamp")]
        if self.config.series_id is not None:
            keys.append(frame.get_column(self.config.series_id).alias("_series"))
        first = (
            pl.DataFrame(keys).is_duplicated()
            & ~pl.DataFrame(keys).select(pl.struct(pl.all()).is_first_distinct()).to_series()
        )
        early = stamps.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        late = stamps.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        # An hour that the clock skipped is read as the hour after it, as a clock that was not set forward shows.
        skipped = (stamps + timedelta(hours=1)).dt.replace_time_zone(
            zone, ambiguous="earliest", non_existent="null"
        )
        chosen = late.zip_with(first, early) if first.any() else early
        return chosen.zip_with(chosen.is_not_null(), skipped).dt.convert_time_zone("UTC")


def str_type() -> Any:
    """Polars' String, without importing polars at the top."""
    import polars as pl  # noqa: PLC0415 - as above

    return pl.String
