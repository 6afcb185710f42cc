"""Predictions as they reach monitoring: ids that carry their time, and batches by column."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from aihub.types import FloatArray

_WORKER_BITS = 10
_TICK_BITS = 11
_TICKS = (1 << _TICK_BITS) - 1
_PREFIX = "p_"
_DIGITS = 16


class PredictionIds:
    """Makes the ids of one process: 63-bit numbers that grow, and hold the millisecond in which they were made.

    Layout: 42 bits of milliseconds since 1970, 10 random bits of the process, 11 bits of ticks within the millisecond.
    More than 2,048 ids in a millisecond borrow from the next ones. Thread-safe.
    """

    def __init__(self) -> None:
        self._worker = secrets.randbelow(1 << _WORKER_BITS)
        self._last = 0
        self._lock = Lock()

    def take(self, n: int, *, now_ms: int | None = None) -> NDArray[np.int64]:
        """Return `n` new ids, ascending, shape (n,)."""
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        with self._lock:
            first = max(self._last + 1, now_ms << _TICK_BITS)
            self._last = first + n - 1
        ticks = np.arange(first, first + n, dtype=np.int64)
        return ids_of_ticks(ticks, self._worker)

    def one(self) -> int:
        """Return one new id; a microsecond, where `take` costs five."""
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            tick = self._last = max(self._last + 1, now_ms << _TICK_BITS)
        high = tick >> _TICK_BITS << (_WORKER_BITS + _TICK_BITS)
        return high | self._worker << _TICK_BITS | tick & _TICKS


def ids_of_ticks(ticks: NDArray[np.int64], worker: int = 0) -> NDArray[np.int64]:
    """Ids of ticks (2,048 a millisecond) of one process."""
    return ticks >> _TICK_BITS << (_WORKER_BITS + _TICK_BITS) | worker << _TICK_BITS | ticks & _TICKS


def created_us(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Microseconds since 1970 at which the ids were made (to the millisecond)."""
    return (ids >> (_WORKER_BITS + _TICK_BITS)) * 1000


def unheard(version: int) -> int:
    """Return the number under which log and windows keep what a version answered where nobody acted on it.

    That is as a shadow, or outside production. What a version answered in production stands under its own number, so that
    a shadow that is promoted does not bring along what it said before.
    """
    return -version


def id_text(number: int) -> str:
    """Form of an id that callers see.

    >>> id_text(1)
    'p_0000000000000001'
    """
    return f"{_PREFIX}{number:016x}"


def parse_id(text: str) -> int:
    """Read what `id_text` wrote.

    Raises
    ------
    InputError
        It is no prediction id.
    """
    digits = text.removeprefix(_PREFIX)
    try:
        number = int(digits, 16) if len(digits) == _DIGITS and digits != text else -1
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise InputError(
            f"{text[:40]!r} is no prediction id; send the id that the prediction was answered with"
        )
    return number


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionBatch:
    """Predictions of one version, by column; all arrays have shape (n,).

    Attributes
    ----------
    version
        Number of the version within its model.
    ids
        From `PredictionIds`.
    prediction
        The forecast, or 0/1 of an anomaly model.
    lower, upper
        Interval; None where the model gives none.
    score
        Calibrated anomaly score; None for forecasts.
    series
        Series id of each row; None for a model of one series.
    target
        Time that each row is about, ``datetime64[us]`` in UTC; None where the rows have no time (such a prediction is
        matched with its actual by id only).
    features
        What the model was asked with: float64 arrays, or sequences of strings; NaN and None are missing.
    is_heard
        The answers were sent in production; False of a shadow, and of what was asked in staging.
    """

    tenant: str
    model: str
    version: int
    ids: NDArray[np.int64]
    prediction: FloatArray
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    score: FloatArray | None = None
    series: Sequence[str] | None = None
    target: NDArray[np.datetime64] | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    is_heard: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kept_as(self) -> int:
        """Number under which log and windows keep them."""
        return self.version if self.is_heard else unheard(self.version)
