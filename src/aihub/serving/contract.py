"""What a version takes: its columns by name and type. Every request is checked against it before a model sees a number.

The libraries answer whatever they are given: LightGBM predicts by position, and both take a text, a missing column or
an infinity in silence. A request that does not fit is refused with the column and the row.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aihub.types import FloatArray

MAX_SERIES_CHARS = 256
"""As many as the log keeps: `aihub.monitoring.log.MAX_NAME`."""
_NUMBERS = frozenset((float, int))
_NUMBERS_OR_NONE = frozenset((float, int, type(None)))
_TEXTS_OR_NONE = frozenset((str, type(None)))


class Role(StrEnum):
    """What a column is to the model."""

    TIME = "timestamp"
    SERIES = "series"
    NUMBER = "number"
    CATEGORY = "category"


class Unseen(StrEnum):
    """What happens to a category that training did not know."""

    MISSING = "missing"
    """It counts as a missing value, as in training."""
    REFUSE = "refuse"
    """The request is refused."""


@dataclass(frozen=True)
class Column:
    """One column of a contract; `known` are the categories of training, empty for all other roles."""

    name: str
    role: Role
    known: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        kind = "number" if self.role is Role.NUMBER else "string"
        form: dict[str, Any] = {"name": self.name, "role": self.role.value, "type": kind}
        if self.role is Role.TIME:
            form["format"] = "date-time"
        form["nullable"] = self.role in (Role.NUMBER, Role.CATEGORY)
        return {**form, "categories": list(self.known)} if self.role is Role.CATEGORY else form


@dataclass(slots=True)
class Rows:
    """Checked rows of one request, by row or by column, in the contract's order of columns.

    Attributes
    ----------
    by_row
        One tuple a row; None where the request came by column, or `dense` says it all.
    by_column
        One list or array a column; None where the request came by row, or `dense` says it all.
    dense
        All columns as one array of shape ``(count, columns)``, where all are numbers and present. Nothing else is kept
        then: a thousand Python numbers that wait for the log cost the next requests more than reading them did.
    """

    count: int
    by_row: list[tuple[Any, ...]] | None = None
    by_column: list[Any] | None = None
    dense: FloatArray | None = None

    def column(self, at: int) -> Any:
        """Values of one column: a list, or an array."""
        if self.dense is not None:
            return self.dense[:, at]
        if self.by_column is not None:
            return self.by_column[at]
        return [row[at] for row in self.by_row or ()]

    def numbers(self, at: int) -> FloatArray:
        """Values of one column as float64, missing is NaN."""
        return np.array(self.column(at), dtype=np.float64)

    def first(self) -> tuple[Any, ...]:
        """Return the first row."""
        if self.dense is not None:
            return tuple(self.dense[0].tolist())
        if self.by_row is not None:
            return self.by_row[0]
        return tuple(values[0] for values in self.by_column or ())

    def matrix(self, width: int) -> FloatArray:
        """All columns, which have to be numbers, as one array of shape ``(count, width)``."""
        if self.dense is not None:
            return self.dense
        if self.by_row is not None:
            return np.array(self.by_row, dtype=np.float64).reshape(self.count, width)
        out = np.empty((self.count, width))
        for at, values in enumerate(self.by_column or ()):
            out[:, at] = values
        return out


@dataclass(frozen=True)
class Contract:
    """The columns of one version, in the model's order.

    Attributes
    ----------
    unseen
        See `Unseen`.
    """

    columns: tuple[Column, ...]
    unseen: Unseen = Unseen.MISSING
    names: tuple[str, ...] = field(init=False)
    is_numeric: bool = field(init=False)
    _pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = tuple(column.name for column in self.columns)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "is_numeric", all(column.role is Role.NUMBER for column in self.columns))
        pick: Any = itemgetter(*names) if len(names) > 1 else lambda record: (record[names[0]],)
        object.__setattr__(self, "_pick", pick)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, as `GET /models/{name}/schema` shows it."""
        return {"columns": [column.to_dict() for column in self.columns], "unseen_categories": self.unseen}

    def records(self, records: Sequence[Any], *, may_hold_flags: bool = True) -> Rows:
        """Check JSON objects, one a row.

        Parameters
        ----------
        may_hold_flags
            Whether a value may be `True` or `False`; False where the text that they were read from has neither word,
            which spares a look at each type.

        Raises
        ------
        DataError
            A column is missing, not in the contract, of another type, or not finite; names column and row.
        """
        width = len(self.names)
        try:
            rows = list(map(self._pick, records))
        except (KeyError, TypeError, IndexError):
            raise self._wrong_shape(records) from None
        for record in records:
            if len(record) != width:
                raise self._wrong_shape(records)
        if len(rows) == 1 and self.is_numeric and _is_plain(rows[0]):
            return Rows(1, by_row=rows)
        if rows and self.is_numeric:
            dense = _dense(rows, may_hold_flags=may_hold_flags)
            if dense is not None:
                return Rows(len(rows), dense=dense)
        self._each(list(zip(*rows, strict=True)) if rows else [()] * width)
        return Rows(len(rows), by_row=rows)

    def by_column(self, table: Mapping[str, Any], *, may_hold_flags: bool = True) -> Rows:
        """Check columns: lists of JSON values, or numpy arrays.

        Parameters
        ----------
        may_hold_flags
            As `records`.

        Raises
        ------
        DataError
            As `records`; also where the columns differ in length.
        """
        if len(table) != len(self.names) or any(name not in table for name in self.names):
            raise self._wrong_names(table)
        found = [table[name] for name in self.names]
        for name, values in zip(self.names, found, strict=True):
            if not isinstance(values, list | np.ndarray):
                raise DataError("is not a list of values; send one value a row", column=name)
            if len(values) != len(found[0]):
                raise DataError(
                    f"has {len(values)} values where {self.names[0]!r} has {len(found[0])}; send one value a row",
                    column=name,
                )
        count = len(found[0]) if found else 0
        if count and self.is_numeric and all(isinstance(values, list) for values in found):
            dense = _dense(found, may_hold_flags=may_hold_flags)
            if dense is not None:
                return Rows(count, dense=np.ascontiguousarray(dense.T))
        self._each(found)
        return Rows(count, by_column=found)

    def _each(self, columns: Sequence[Any]) -> None:
        for column, values in zip(self.columns, columns, strict=True):
            if isinstance(values, np.ndarray) and values.dtype != object:
                _check_array(column, values)
            elif column.role is Role.NUMBER:
                _check_numbers(column, values)
            else:
                self._check_texts(column, values)

    def _check_texts(self, column: Column, values: Sequence[Any]) -> None:
        if not _TEXTS_OR_NONE.issuperset(map(type, values)):
            row = next(at for at, value in enumerate(values, start=1) if type(value) not in _TEXTS_OR_NONE)
            raise DataError(
                f"is {_kind(values[row - 1])} where the model takes {_wanted(column)}; send text",
                column=column.name,
                row=row,
            )
        if column.role is not Role.CATEGORY:
            if None in values:
                row = list(values).index(None) + 1
                raise DataError(
                    f"is empty where the model takes {_wanted(column)}", column=column.name, row=row
                )
            if column.role is Role.SERIES:
                check_series(values, column=column.name)
            return
        if self.unseen is Unseen.REFUSE and not set(values) <= {*column.known, None}:
            row = next(at for at, v in enumerate(values, 1) if v is not None and v not in column.known)
            hint = did_you_mean(str(values[row - 1]), column.known)
            raise DataError(
                f"{values[row - 1]!r} is a category that the model has not seen.{hint}",
                column=column.name,
                row=row,
            )

    def _wrong_shape(self, records: Sequence[Any]) -> DataError:
        for row, record in enumerate(records, start=1):
            if not isinstance(record, dict):
                return DataError("is not an object of column and value; send one a row", row=row)
            if record.keys() != set(self.names):
                return self._wrong_names(record, row=row)
        return DataError("the rows do not fit the model's schema; ask GET /models/{name}/schema for it")

    def _wrong_names(self, given: Mapping[str, Any], *, row: int | None = None) -> DataError:
        missing = [name for name in self.names if name not in given]
        known = set(self.names)
        extra = [str(name) for name in given if name not in known]
        if missing:
            hint = did_you_mean(missing[0], extra)
            return DataError(
                f"is missing.{hint} Send every column of the schema, null where a value is not known.",
                column=missing[0],
                row=row,
            )
        hint = did_you_mean(extra[0][:100], self.names)
        return DataError(f"is not in the model's schema.{hint} Leave it out.", column=extra[0][:100], row=row)


def check_series(values: Sequence[Any], *, column: str) -> None:
    """Refuse ids that the log could not keep, which would take the predictions logged with them along.

    Raises
    ------
    DataError
        An id is too long, or holds a zero character.
    """
    for row, value in enumerate(values, start=1):
        if len(value) > MAX_SERIES_CHARS or "\0" in value:
            raise DataError(
                f"is a series id of more than {MAX_SERIES_CHARS} characters, or with a zero character; shorten it",
                column=column,
                row=row,
            )


def _is_plain(row: tuple[Any, ...]) -> bool:
    """Whether all are finite numbers, told cheaply: a sum is finite unless a member is not, or all are beyond measure."""
    return _NUMBERS.issuperset(map(type, row)) and math.isfinite(sum(row))


def _dense(rows: Sequence[Sequence[Any]], *, may_hold_flags: bool) -> FloatArray | None:
    """Return rows of equal length as an array where all are finite numbers; else None, and each is looked at.

    `struct` takes floats, whole numbers and flags, and nothing else: texts and empty values end it.
    """
    if may_hold_flags and not _NUMBERS.issuperset(map(type, chain.from_iterable(rows))):
        return None
    width = len(rows[0])
    try:
        packed = struct.pack(f"{len(rows) * width}d", *chain.from_iterable(rows))
    except (struct.error, OverflowError):  # no number, or a whole one beyond all measure
        return None
    found = np.frombuffer(packed).reshape(len(rows), width)
    return found if np.isfinite(found).all() else None


def _check_numbers(column: Column, values: Sequence[Any]) -> None:
    kinds = set(map(type, values))
    if not kinds <= _NUMBERS_OR_NONE:
        row = next(at for at, value in enumerate(values, start=1) if type(value) not in _NUMBERS_OR_NONE)
        raise DataError(
            f"is {_kind(values[row - 1])} where the model takes a number; send a number, or null where none is known",
            column=column.name,
            row=row,
        )
    known = [value for value in values if value is not None] if type(None) in kinds else values
    if not math.isfinite(sum(known)):
        for row, value in enumerate(values, start=1):
            if value is not None and not math.isfinite(value):
                raise _not_finite(column, row)


def _check_array(column: Column, values: Any) -> None:
    if column.role is Role.NUMBER and values.dtype.kind in "iufb":
        # Arrow's nulls arrive as NaN here; its own NaN and infinities are refused where they are read.
        if values.dtype.kind == "f" and np.isinf(values).any():
            raise _not_finite(column, int(np.flatnonzero(np.isinf(values))[0]) + 1)
        return
    if column.role is Role.TIME and values.dtype.kind == "M":
        return
    raise DataError(
        f"holds {values.dtype} where the model takes {_wanted(column)}; convert it", column=column.name
    )


def _not_finite(column: Column, row: int) -> DataError:
    return DataError(
        "is not a finite number; send a number, or null where none is known", column=column.name, row=row
    )


def _kind(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "an object", type(None): "empty"}
    return names.get(type(value), "a number")


def _wanted(column: Column) -> str:
    if column.role is Role.TIME:
        return "a time stamp (ISO 8601)"
    return {Role.SERIES: "a series id", Role.CATEGORY: "a category"}.get(column.role, "a number")
