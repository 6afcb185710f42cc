"""Many predictions or actuals as one value of bytes: columns one after another, read back without copying.

The key of a row says what it is about, exactly: the series' code in 26 bits and the microsecond of the day in 37, so
that equal hours of two days have equal keys; or, where a row has no target time, its prediction id with the top bit set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError
from aihub.monitoring.predictions import created_us
from aihub.monitoring.sums import Answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
HOURS_PER_DAY = 24
MAX_SERIES = 1 << 26
_OFFSET_BITS = np.uint64(37)
_OFFSET = np.uint64((1 << 37) - 1)
BY_ID = np.uint64(1 << 63)
"""Bit of a key that is a prediction id."""
_LAYOUT = 1
_OPTIONAL = ("lower", "upper", "score")


def series_keys(codes: NDArray[Any], target_us: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of series codes and target times within their day, shape (n,)."""
    return codes.astype(np.uint64) << _OFFSET_BITS | (target_us % DAY_US).astype(np.uint64)


def id_keys(ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of predictions that are about no time."""
    return ids.astype(np.uint64) | BY_ID


def codes_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Series code of each key; 0 of a prediction id."""
    return np.where(keys & BY_ID, np.uint64(0), keys >> _OFFSET_BITS).astype(np.int64)


def offsets_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Microseconds within its day of each key of a series."""
    return (keys & _OFFSET).astype(np.int64)


def times_of(keys: NDArray[np.uint64], day: int) -> NDArray[np.int64]:
    """Microseconds since 1970 that each key of `day` with a series is about."""
    return day * DAY_US + (keys & _OFFSET).astype(np.int64)


def hours_of(keys: NDArray[np.uint64], day: int) -> NDArray[np.int64]:
    """Hour since 1970 that each key of `day` is about."""
    us = (keys & _OFFSET).astype(np.int64)
    by_id = (keys & BY_ID) != 0
    if by_id.any():
        us[by_id] = created_us((keys[by_id] & ~BY_ID).astype(np.int64)) % DAY_US
    return day * HOURS_PER_DAY + us // HOUR_US


@dataclass(frozen=True, eq=False)
class PredictionRows:
    """Predictions of one version and one day, by column, shape (n,) each."""

    key: NDArray[np.uint64]
    ids: NDArray[np.int64]
    answers: Answers

    def __len__(self) -> int:
        return len(self.key)

    def take(self, index: NDArray[Any]) -> PredictionRows:
        """Give some of the rows."""
        return PredictionRows(self.key[index], self.ids[index], self.answers.take(index))

    def to_bytes(self) -> bytes:
        """Bytes of the rows; columns without any value are left out."""
        given = [not np.isnan(getattr(self.answers, name)).all() for name in _OPTIONAL]
        flags = sum(1 << at for at, is_given in enumerate(given) if is_given)
        columns: list[NDArray[Any]] = [self.key, self.ids, self.answers.prediction]
        columns += [
            getattr(self.answers, name) for name, is_given in zip(_OPTIONAL, given, strict=True) if is_given
        ]
        return bytes((_LAYOUT, flags)) + b"".join(np.ascontiguousarray(c).tobytes() for c in columns)

    @classmethod
    def from_bytes(cls, body: bytes, rows: int) -> PredictionRows:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ArtifactError
            Of another layout, or cut off.
        """
        flags = _flags(body, "prediction")
        width = 3 + sum(flags >> at & 1 for at in range(3))
        _check_length(body, rows, width)
        at = iter(range(2, len(body), max(1, 8 * rows)))

        def column(kind: str) -> NDArray[Any]:
            return np.frombuffer(body, kind, rows, next(at)) if rows else np.empty(0, kind)

        key, ids, prediction = column("<u8"), column("<i8"), column("<f8")
        rest = [column("<f8") if flags >> i & 1 else np.full(rows, np.nan) for i in range(3)]
        return cls(key, ids, Answers(prediction, *rest))

    @classmethod
    def joined(cls, parts: Sequence[PredictionRows]) -> PredictionRows:
        """Return all rows of several parts."""
        if len(parts) == 1:
            return parts[0]
        answers = [np.concatenate([getattr(p.answers, name) for p in parts]) if parts else np.empty(0)
                   for name in ("prediction", *_OPTIONAL)]  # fmt: skip
        if not parts:
            return cls(np.empty(0, np.uint64), np.empty(0, np.int64), Answers(*answers))
        return cls(
            np.concatenate([p.key for p in parts]), np.concatenate([p.ids for p in parts]), Answers(*answers)
        )


@dataclass(frozen=True, eq=False)
class ActualRows:
    """Actuals of one day: `key` ascending and unique, shape (n,)."""

    key: NDArray[np.uint64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.key)

    def to_bytes(self) -> bytes:
        """Bytes of the rows."""
        return bytes((_LAYOUT, 0)) + self.key.tobytes() + self.value.tobytes()

    @classmethod
    def from_bytes(cls, body: bytes, rows: int) -> ActualRows:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ArtifactError
            Of another layout, or cut off.
        """
        _flags(body, "actual")
        _check_length(body, rows, 2)
        return cls(np.frombuffer(body, "<u8", rows, 2), np.frombuffer(body, "<f8", rows, 2 + 8 * rows))

    @classmethod
    def merged(cls, parts: Sequence[ActualRows]) -> ActualRows:
        """Rows of several parts in the order of their arrival; the last value of a key counts."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls(np.empty(0, np.uint64), np.empty(0))
        return cls.latest(np.concatenate([p.key for p in parts]), np.concatenate([p.value for p in parts]))

    @classmethod
    def latest(cls, key: NDArray[np.uint64], value: NDArray[np.float64]) -> ActualRows:
        """Sort rows that came in this order; the last value of a key counts."""
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        last = np.append(key[1:] != key[:-1], True) if key.size else np.empty(0, bool)
        return cls(key[last], value[last])

    def first(self, rows: int) -> ActualRows:
        """Give the first rows."""
        return self if rows == len(self) else ActualRows(self.key[:rows], self.value[:rows])

    def find(self, key: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Tell which keys are here, and their values (NaN where not)."""
        if not self.key.size:
            return np.zeros(key.shape, bool), np.full(key.shape, np.nan)
        at = np.minimum(np.searchsorted(self.key, key), self.key.size - 1)
        hit = self.key[at] == key
        return hit, np.where(hit, self.value[at], np.nan)


def features_to_bytes(features: Mapping[str, Any]) -> bytes | None:
    """Columns of features as a compressed Arrow stream; None where there are none."""
    if not features:
        return None
    import pyarrow as pa  # noqa: PLC0415 - readers of windows do not need it

    table = pa.table({name: _arrow(values) for name, values in features.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def features_from_bytes(body: bytes | None) -> Any:
    """Arrow table of features, None where there are none."""
    if body is None:
        return None
    import pyarrow as pa  # noqa: PLC0415 - as above

    return pa.ipc.open_stream(body).read_all()


def feature_columns(table: Any) -> dict[str, Any]:
    """Columns of an Arrow table: float64 arrays, lists of strings."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    found: dict[str, Any] = {}
    for name in table.column_names if table is not None else ():
        column = table.column(name)
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        found[name] = column.to_pylist() if is_text else column.to_numpy().astype(np.float64, copy=False)
    return found


def join_features(parts: Sequence[tuple[Any, int]]) -> bytes | None:
    """Bytes of several tables (None: without features) of so many rows each, one after another."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    names = dict.fromkeys(name for table, _ in parts if table is not None for name in table.column_names)
    if not names:
        return None
    columns: dict[str, Any] = {}
    for name in names:
        held = [table.column(name) if table is not None and name in table.column_names else pa.nulls(rows)
                for table, rows in parts]  # fmt: skip
        kind = next((c.type for c in held if not pa.types.is_null(c.type)), pa.float64())
        if any(c.type != kind and not pa.types.is_null(c.type) for c in held):
            kind = pa.string()
        columns[name] = pa.chunked_array(
            [c.cast(kind) for c in held for c in getattr(c, "chunks", [c])], kind
        )
    return features_to_bytes(columns)


def _arrow(values: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - as above

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return pa.array(values.astype(np.float64, copy=False))
    return pa.array([None if v is None or v != v else str(v) for v in values], pa.string())  # noqa: PLR0124 - NaN


def _flags(body: bytes, what: str) -> int:
    if len(body) < 2 or body[0] != _LAYOUT:  # noqa: PLR2004 - layout and flags
        raise ArtifactError(
            f"a chunk of {what}s has another layout; upgrade aihub, or delete the chunk and repair"
        )
    return body[1]


def _check_length(body: bytes, rows: int, width: int) -> None:
    if len(body) != 2 + 8 * rows * width:
        raise ArtifactError(
            "a chunk of the monitoring log is damaged; delete it and run `aihub monitor repair`"
        )
