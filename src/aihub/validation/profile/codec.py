"""Profiles as bytes: versioned, compressed, digest-checked, and read back with suspicion.

Layout: magic, version (u16), length of the body before compression (u64), SHA-256 of all that follows the digest and of
version and length, compressed body. Body: length of the header (u32), header (JSON), arrays one after another in the
smallest unsigned type that holds them. Integers are big-endian in the frame and little-endian in the arrays.

The digest finds accidents, not forgery: everything read is checked again for shape, range and agreement, so that a forged
profile can lie about the data and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError
from aihub.validation.profile.categories import MAX_EXACT, CategorySummary
from aihub.validation.profile.cells import CELLS, CellMoments
from aihub.validation.profile.histogram import MAX_BINS, MAX_SHIFT, FloatHistogram
from aihub.validation.profile.numeric import Moments, NumericSummary
from aihub.validation.profile.sums import ClassificationSums, RegressionSums
from aihub.validation.profile.table import Profile, ProfileSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"AIHUB-PROFILE\n"
VERSION = 1
MAX_BODY_BYTES = 1 << 28
"""Longest body that is read: a profile of 10,000 columns needs about 100 MB before compression."""

_FRAME = struct.Struct(">HQ32s")
_WIDTHS = ("u1", "u2", "u4", "u8")
_MAX_COUNT = 1 << 62
_AGAIN = "make it again with `aihub profile`"


def encode(profile: Profile) -> bytes:
    """Return `profile` as bytes."""
    arrays = _Writer()
    header = {
        "rows": profile.rows,
        "spec": asdict(profile.spec),
        "start": profile.start,
        "end": profile.end,
        "columns": [[name, _column(summary, arrays)] for name, summary in profile.columns.items()],
        "cells": [
            [name, arrays.add(c.n), arrays.floats(c.mean), arrays.floats(c.m2)]
            for name, c in profile.cells.items()
        ],
        "regression": None if profile.regression is None else asdict(profile.regression),
        "classification": None
        if profile.classification is None
        else _classes(profile.classification, arrays),
    }
    text = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode()
    body = struct.pack(">I", len(text)) + text + b"".join(arrays.parts)
    packed = zlib.compress(body, 6)
    return MAGIC + _FRAME.pack(VERSION, len(body), _digest(VERSION, len(body), packed)) + packed


def decode(data: bytes) -> Profile:
    """Read what `encode` wrote.

    Raises
    ------
    ArtifactError
        Not a profile, of another version, changed, cut off, or one whose parts contradict each other.
    """
    start = len(MAGIC) + _FRAME.size
    if not data.startswith(MAGIC) or len(data) < start:
        raise ArtifactError(f"this is not a profile; give a file that `aihub profile` wrote, or {_AGAIN}")
    version, length, digest = _FRAME.unpack_from(data, len(MAGIC))
    packed = bytes(data[start:])
    if digest != _digest(version, length, packed):
        raise ArtifactError(f"the profile was changed or cut off (its digest does not match); {_AGAIN}")
    if version != VERSION:
        raise ArtifactError(
            f"the profile has version {version}, this program reads version {VERSION}; {_AGAIN}"
        )
    if length > MAX_BODY_BYTES:
        raise ArtifactError(f"the profile claims {length} bytes, at most {MAX_BODY_BYTES} are read; {_AGAIN}")
    try:
        body = _unpacked(packed, length)
        size = struct.unpack_from(">I", body)[0]
        return _profile(json.loads(body[4 : 4 + size]), _Reader(body, 4 + size))
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, struct.error, zlib.error
    ) as error:  # fmt: skip
        raise ArtifactError(f"the profile is damaged ({type(error).__name__}: {error}); {_AGAIN}") from error


def _digest(version: int, length: int, packed: bytes) -> bytes:
    return hashlib.sha256(struct.pack(">HQ", version, length) + packed).digest()


def _unpacked(packed: bytes, length: int) -> bytes:
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(packed, length + 1)
    if len(body) != length or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"the body has not the {length} bytes it claims")
    return body


class _Writer:
    """Collects arrays; `add` and `floats` return what the header says about one."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, values: NDArray[Any]) -> list[Any]:
        """Append unsigned integers in the narrowest type."""
        top = int(values.max()) if values.size else 0
        width = next(i for i in range(4) if top < 1 << (8 << i))
        self.parts.append(values.astype(f"<{_WIDTHS[width]}").tobytes())
        return [_WIDTHS[width], int(values.size)]

    def floats(self, values: NDArray[np.float64]) -> list[Any]:
        """Append float64."""
        self.parts.append(values.astype("<f8").tobytes())
        return ["f8", int(values.size)]


class _Reader:
    """Takes arrays off the body in the order in which they were written."""

    def __init__(self, body: bytes, position: int) -> None:
        self._body, self._position = body, position

    def take(self, said: Any, most: int) -> NDArray[Any]:
        """Next array, of the type and length that the header says."""
        kind, size = said
        if kind not in (*_WIDTHS, "f8") or not isinstance(size, int) or not 0 <= size <= most:
            raise ValueError(f"an array of {size!r} {kind!r}")
        found = np.frombuffer(self._body, np.dtype(f"<{kind}"), size, self._position)
        self._position += found.nbytes
        return found

    def counts(self, said: Any, most: int) -> NDArray[np.int64]:
        """Next array as counts."""
        found = self.take(said, most)
        if found.size and (int(found.max()) > _MAX_COUNT or float(found.sum(dtype=np.float64)) > _MAX_COUNT):
            raise ValueError("counts beyond 2**62")
        return found.astype(np.int64)


def _histogram(histogram: FloatHistogram, arrays: _Writer) -> dict[str, Any]:
    keys = histogram.keys.view(np.uint64)
    return {
        "shift": histogram.shift,
        "grain": histogram.grain,
        "first": int(histogram.keys[0]) if keys.size else 0,
        "steps": arrays.add(np.diff(keys)),  # wraps round where the keys turn from negative to positive
        "counts": arrays.add(histogram.counts),
    }


def _read_histogram(said: Any, reader: _Reader) -> FloatHistogram:
    steps = reader.take(said["steps"], MAX_BINS)
    counts = reader.counts(said["counts"], MAX_BINS)
    shift, grain = (_whole(said[key], MAX_SHIFT) for key in ("shift", "grain"))
    if not counts.size:
        return FloatHistogram.empty()
    first = np.int64(said["first"]).astype(np.uint64)
    keys = np.concatenate(([first], steps.astype(np.uint64))).cumsum(dtype=np.uint64).view(np.int64)
    if keys.size != counts.size or (keys[1:] <= keys[:-1]).any() or (counts <= 0).any():
        raise ValueError("a histogram whose bins are out of order")
    # The sign is the key's own, so that keys of negative values are negative: the last one too where all values are.
    if any(int(key) >> (MAX_SHIFT - shift) not in (0, -1) for key in (keys[0], keys[-1])):
        raise ValueError("a histogram with bins beyond the numbers")
    return FloatHistogram(shift, keys, counts, grain)


def _column(summary: NumericSummary | CategorySummary, arrays: _Writer) -> dict[str, Any]:
    if isinstance(summary, CategorySummary):
        return {
            "kind": "category",
            "rows": summary.rows,
            "missing": summary.missing,
            "error": summary.error,
            "names": list(summary.counts),
            "counts": arrays.add(np.array(list(summary.counts.values()), np.int64)),
        }
    return {
        "kind": summary.kind,
        "rows": summary.rows,
        "missing": summary.missing,
        "infinite": [summary.positive_infinite, summary.negative_infinite],
        "moments": asdict(summary.moments),
        "histogram": _histogram(summary.histogram, arrays),
    }


def _read_column(said: Any, reader: _Reader, rows: int) -> NumericSummary | CategorySummary:
    if _whole(said["rows"], _MAX_COUNT) != rows:
        raise ValueError("a column with another number of rows than the table")
    missing = _whole(said["missing"], rows)
    if said["kind"] == "category":
        names, counts = said["names"], reader.counts(said["counts"], MAX_EXACT).tolist()
        error = _whole(said["error"], rows)
        if (
            len(names) != len(counts)
            or len(set(names)) != len(names)
            or not all(isinstance(n, str) for n in names)
        ):
            raise ValueError("categories and counts do not agree")
        if (
            min(counts, default=1) <= 0
            or sum(counts) > rows - missing
            or (not error and sum(counts) != rows - missing)
        ):
            raise ValueError("categories do not add up to the rows")
        return CategorySummary(rows, missing, dict(zip(names, counts, strict=True)), error)
    if said["kind"] not in ("number", "time"):
        raise ValueError(f"a column of kind {said['kind']!r}")
    positive, negative = (_whole(value, rows) for value in said["infinite"])
    moments, histogram = _moments(said["moments"]), _read_histogram(said["histogram"], reader)
    if moments.n != rows - missing - positive - negative or histogram.n != moments.n:
        raise ValueError("the counts of a column do not add up")
    return NumericSummary(rows, missing, positive, negative, moments, histogram, said["kind"])


def _moments(said: Any) -> Moments:
    found = Moments(
        _whole(said["n"], _MAX_COUNT), *(_real(said[key]) for key in ("mean", "m2", "minimum", "maximum"))
    )
    if found.n and not (found.minimum <= found.mean <= found.maximum and found.m2 >= 0):
        raise ValueError("moments that contradict each other")
    return found


def _classes(sums: ClassificationSums, arrays: _Writer) -> dict[str, Any]:
    plain = {f.name: getattr(sums, f.name) for f in fields(sums) if f.type == "int"}
    return plain | {name: _histogram(getattr(sums, name), arrays) for name in ("positive", "negative")}


def _read_classes(said: Any, reader: _Reader) -> ClassificationSums:
    plain = {f.name: _whole(said[f.name], _MAX_COUNT) for f in fields(ClassificationSums) if f.type == "int"}
    positive, negative = (_read_histogram(said[name], reader) for name in ("positive", "negative"))
    return ClassificationSums(**plain, positive=positive, negative=negative)


def _read_regression(said: Any) -> RegressionSums:
    values: dict[str, Any] = {}
    for f in fields(RegressionSums):
        read = {"int": lambda value: _whole(value, _MAX_COUNT), "float": _real}.get(str(f.type), _moments)
        values[f.name] = read(said[f.name])
    return RegressionSums(**values)


def _profile(header: Any, reader: _Reader) -> Profile:
    rows = _whole(header["rows"], _MAX_COUNT)
    spec = dict(header["spec"])
    if spec["columns"] is not None:
        spec["columns"] = tuple(spec["columns"])
    columns = {str(name): _read_column(said, reader, rows) for name, said in header["columns"]}
    if len(columns) != len(header["columns"]):
        raise ValueError("two columns of one name")
    cells = {str(name): _read_cells(said, reader) for name, *said in header["cells"]}
    return Profile(
        rows=rows,
        columns=columns,
        spec=ProfileSpec(**spec),
        cells=cells,
        start=None if header["start"] is None else int(header["start"]),
        end=None if header["end"] is None else int(header["end"]),
        regression=None if header["regression"] is None else _read_regression(header["regression"]),
        classification=None
        if header["classification"] is None
        else _read_classes(header["classification"], reader),
    )


def _read_cells(said: Any, reader: _Reader) -> CellMoments:
    n = reader.counts(said[0], CELLS)
    mean, m2 = (reader.take(part, CELLS).astype(np.float64) for part in said[1:])
    if not n.size == mean.size == m2.size == CELLS:
        raise ValueError("cells that are not the hours of a week")
    return CellMoments(n, mean, m2)


def _whole(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r} where a count of at most {most} belongs")
    return value


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} where a number belongs")
    return float(value) if abs(value) <= np.finfo(np.float64).max or math.isinf(value) else math.nan
