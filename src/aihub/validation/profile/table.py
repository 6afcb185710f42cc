"""The profile of a table."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError, did_you_mean
from aihub.validation.frames import Columns, column_names, columns, n_rows
from aihub.validation.profile.categories import CategorySummary
from aihub.validation.profile.cells import CellMoments, hour_of_week
from aihub.validation.profile.numeric import NumericSummary
from aihub.validation.profile.reading import batches, summarise
from aihub.validation.profile.sums import ClassificationSums, RegressionSums
from aihub.validation.vectors import array, timestamps_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ColumnSummary = NumericSummary | CategorySummary


@dataclass(frozen=True, kw_only=True)
class ProfileSpec:
    """What to make of the columns.

    Attributes
    ----------
    target, prediction, score, timestamp
        Columns by role. Target and prediction together give the metric sums; a timestamp gives time-of-week cells.
    classes
        Target and prediction are 0/1 labels instead of numbers.
    time_zone
        IANA zone in which the time of week is read.
    columns
        Columns to summarise; None means all.
    """

    target: str | None = None
    prediction: str | None = None
    score: str | None = None
    timestamp: str | None = None
    classes: bool = False
    time_zone: str = "UTC"
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile:
    """Mergeable summary of a table; holds no rows.

    Attributes
    ----------
    rows
        Rows seen.
    columns
        Summary per column, in the table's order.
    cells
        Moments per hour of the week (168 cells, Monday 00:00 first) of the numeric columns; empty without a timestamp.
    start, end
        First and last timestamp, microseconds since 1970 in UTC; None without a timestamp.
    regression, classification
        Sums from which every metric is computed; None without target and prediction.
    """

    rows: int
    columns: Mapping[str, ColumnSummary]
    spec: ProfileSpec = field(default_factory=ProfileSpec)
    cells: Mapping[str, CellMoments] = field(default_factory=dict)
    start: int | None = None
    end: int | None = None
    regression: RegressionSums | None = None
    classification: ClassificationSums | None = None

    @classmethod
    def of(cls, table: Any, spec: ProfileSpec | None = None, *, like: Profile | None = None) -> Profile:
        """Summarise `table` in one pass.

        Parameters
        ----------
        table
            pandas, polars or Arrow table, a mapping of arrays, or the path of a Parquet or CSV file, which is read a
            part at a time.
        spec
            Roles of columns; None takes the spec of `like`, else none.
        like
            Profile to compare with later: gives the spec, where none is given, without columns the table lacks.

        Raises
        ------
        DataError
            The table cannot be read, or a column that the spec names is missing.

        Examples
        --------
        >>> p = Profile.of({"load": np.array([1.0, 2.0, 3.0]), "site": ["a", "b", "a"]})
        >>> p.rows, p.columns["load"].mean, dict(p.columns["site"].counts)
        (3, 2.0, {'a': 2, 'b': 1})
        """
        chosen = spec or ProfileSpec()
        if isinstance(table, str | os.PathLike):
            parts = (
                _of_part(names, rows, part.__getitem__, _fitting(chosen, like, names, spec))
                for names, rows, part in batches(os.fspath(table))
            )
            first = next(parts, None)
            if first is None:
                raise DataError("the file has no rows and no columns", file=os.fspath(table))
            return reduce(cls.merge, parts, first)
        source = table if isinstance(table, Columns) else columns(table)
        names = tuple(source) if isinstance(table, Columns) else column_names(table)
        native = source.native if isinstance(source, Columns) else source.__getitem__
        rows = len(native(names[0])) if isinstance(table, Columns) and names else 0
        rows = rows if isinstance(table, Columns) else n_rows(table)
        return _of_part(names, rows, native, _fitting(chosen, like, names, spec))

    def merge(self, other: Profile) -> Profile:
        """Profile of both tables; a column that one of them lacks counts as missing in its rows.

        Raises
        ------
        DataError
            A column is numeric in one and categories in the other, or the specs differ.
        """
        if self.spec != other.spec:
            raise DataError(
                "profiles with different roles of columns cannot be merged; profile both with one spec"
            )
        names = dict.fromkeys([*self.columns, *other.columns])
        return Profile(
            rows=self.rows + other.rows,
            columns={name: _merged(name, self, other) for name in names},
            spec=self.spec,
            cells={
                name: self.cells.get(name, CellMoments.empty()).merge(
                    other.cells.get(name, CellMoments.empty())
                )
                for name in dict.fromkeys([*self.cells, *other.cells])
            },
            start=_extreme(min, self.start, other.start),
            end=_extreme(max, self.end, other.end),
            regression=_joined(self.regression, other.regression),
            classification=_joined(self.classification, other.classification),
        )

    def to_bytes(self) -> bytes:
        """Versioned, compressed, digest-checked form; equal profiles give equal bytes."""
        from aihub.validation.profile.codec import encode  # noqa: PLC0415 - the codec needs this class

        return encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ArtifactError
            Not a profile, of another version, changed or cut off.
        """
        from aihub.validation.profile.codec import decode  # noqa: PLC0415 - as above

        return decode(data)

    def stats(self) -> dict[str, dict[str, float]]:
        """Give the guide's ``{"column": {"mean": .., "std": ..}}`` for the numeric columns."""
        return {
            name: {"mean": summary.mean, "std": summary.std}
            for name, summary in self.columns.items()
            if isinstance(summary, NumericSummary) and summary.kind == "number"
        }

    def metrics(self) -> dict[str, float]:
        """Give the metrics of the prediction column; empty without target and prediction."""
        sums = self.regression or self.classification
        return sums.metrics() if sums else {}


def _fitting(
    chosen: ProfileSpec, like: Profile | None, names: tuple[str, ...], given: ProfileSpec | None
) -> ProfileSpec:
    """Spec in force; of the one that is only borrowed from `like`, just what the table has."""
    if given is not None or like is None:
        return chosen
    said = like.spec

    def kept(name: str | None) -> str | None:
        return name if name in names else None

    return replace(
        said,
        target=kept(said.target),
        prediction=kept(said.prediction),
        score=kept(said.score),
        timestamp=kept(said.timestamp),
        columns=None,
    )


def _of_part(names: tuple[str, ...], rows: int, native: Callable[[str], Any], spec: ProfileSpec) -> Profile:
    wanted = names if spec.columns is None else spec.columns
    for name in (*wanted, spec.target, spec.prediction, spec.score, spec.timestamp):
        if name is not None and name not in names:
            raise DataError(
                f"the table has no such column.{did_you_mean(name, names)} Check the spec.", column=name
            )
    stamps = None
    cell = None
    if spec.timestamp is not None:
        stamps = timestamps_utc(native(spec.timestamp), spec.timestamp)
        cell = hour_of_week(stamps, spec.time_zone)
    found: dict[str, ColumnSummary] = {}
    cells: dict[str, CellMoments] = {}
    for name in wanted:
        column = native(name)
        summary = found[name] = summarise(column, name)
        if cell is not None and isinstance(summary, NumericSummary) and summary.kind == "number":
            cells[name] = CellMoments.of(cell, array(column, name))
    known = None if stamps is None else stamps[~np.isnat(stamps)].astype(np.int64)
    regression, classification = _sums(native, spec)
    return Profile(
        rows=rows,
        columns=found,
        spec=spec,
        cells=cells,
        start=int(known.min()) if known is not None and known.size else None,
        end=int(known.max()) if known is not None and known.size else None,
        regression=regression,
        classification=classification,
    )


def _sums(
    native: Callable[[str], Any], spec: ProfileSpec
) -> tuple[RegressionSums | None, ClassificationSums | None]:
    if spec.target is None or spec.prediction is None:
        return None, None
    y_true, y_pred = (floats_of(native(name), name) for name in (spec.target, spec.prediction))
    if not spec.classes:
        return RegressionSums.of(y_true, y_pred), None
    score = None if spec.score is None else floats_of(native(spec.score), spec.score)
    return None, ClassificationSums.of(y_true, y_pred, score)


def floats_of(values: Any, name: str) -> Any:
    """One column as float64.

    Raises
    ------
    DataError
        Not numeric.
    """
    found = array(values, name)
    if found.dtype != np.float64:
        raise DataError("the column holds no numbers, and metrics need some; convert it", column=name)
    return found


def _merged(name: str, a: Profile, b: Profile) -> ColumnSummary:
    one, two = a.columns.get(name), b.columns.get(name)
    if one is None or two is None:
        present, rows = (one, b.rows) if one is not None else (two, a.rows)
        if isinstance(present, NumericSummary):
            return present.merge(NumericSummary.absent(rows, present.kind))
        if isinstance(present, CategorySummary):
            return present.merge(CategorySummary.absent(rows))
        raise KeyError(name)
    if isinstance(one, NumericSummary) and isinstance(two, NumericSummary):
        return one.merge(two)
    if isinstance(one, CategorySummary) and isinstance(two, CategorySummary):
        return one.merge(two)
    # a part without any value has no type of its own
    if isinstance(one, NumericSummary) and isinstance(two, CategorySummary) and one.missing == one.rows:
        return two.merge(CategorySummary.absent(one.rows))
    if isinstance(two, NumericSummary) and isinstance(one, CategorySummary) and two.missing == two.rows:
        return one.merge(CategorySummary.absent(two.rows))
    raise DataError("numbers in one part and categories in the other; give the column one type", column=name)


def _extreme(choose: Callable[[list[int]], int], *values: int | None) -> int | None:
    known = [v for v in values if v is not None]
    return choose(known) if known else None


def _joined(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return a if b is None else b
    return a.merge(b)
