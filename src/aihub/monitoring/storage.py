"""Windows in and out of the database: numbers as bytes, hours added to their days."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring import sums
from aihub.monitoring.chunks import HOURS_PER_DAY
from aihub.monitoring.grid import BINS, merge_moments
from aihub.store import observations as rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aihub.monitoring.log import ModelLog
    from aihub.types import FloatArray

HOUR, DAY = "h", "d"
_SCORES = 2 * sums.SCORE_BINS

Label = tuple[int, str]
"""Hour and group of a window."""


def add_windows(
    log: ModelLog,
    version: int,
    labels: Sequence[Label],
    rows: FloatArray,
    *,
    scores: FloatArray | None = None,
) -> None:
    """Merge `rows` (and `scores` of anomaly models) into the hours and days that they belong to."""
    if not len(labels):
        return
    _merge_into(log, (version, HOUR), labels, rows, scores)
    days = sorted({(hour // HOURS_PER_DAY * HOURS_PER_DAY, group) for hour, group in labels})
    index = {label: at for at, label in enumerate(days)}
    of_day = np.array(
        [index[hour // HOURS_PER_DAY * HOURS_PER_DAY, group] for hour, group in labels], np.intp
    )
    daily = None
    if scores is not None:
        daily = np.zeros((len(days), _SCORES))
        np.add.at(daily, of_day, scores)
    _merge_into(log, (version, DAY), days, sums.merged(rows, of_day, len(days)), daily)


def _merge_into(
    log: ModelLog,
    which: tuple[int, str],
    labels: Sequence[Label],
    rows: FloatArray,
    scores: FloatArray | None,
) -> None:
    version, span = which
    hours = [hour for hour, _ in labels]
    known = {
        (row.hour, row.series_group): row
        for row in rows_of.window_rows(
            log.connection,
            tenant=log.tenant,
            model=log.model,
            span=span,
            first=min(hours),
            last=max(hours) + 1,
            versions=[version],
        )
    }
    held = [known.get(label) for label in labels]
    if any(held):
        before = sums.empty(len(labels))
        for at, row in enumerate(held):
            if row is not None:
                before[at] = np.frombuffer(row.sums)
        pair = np.tile(np.arange(len(labels)), 2)
        rows = sums.merged(np.concatenate([before, rows]), pair, len(labels))
        scores = _with_scores(held, scores)
    _write(log, span, [(version, label) for label in labels], rows, scores)


def _with_scores(held: Sequence[Any], scores: FloatArray | None) -> FloatArray | None:
    if scores is None and not any(row is not None and row.scores for row in held):
        return None
    whole = np.zeros((len(held), _SCORES)) if scores is None else scores.copy()
    for at, row in enumerate(held):
        if row is not None and row.scores:
            whole[at] += unpacked_scores(row.scores)
    return whole


def replace_windows(
    log: ModelLog, day: int, parts: Sequence[tuple[int, Sequence[Label], FloatArray, FloatArray | None]]
) -> None:
    """Write all windows of a day anew from `parts` of (version, labels, rows, scores)."""
    first = day * HOURS_PER_DAY
    rows_of.delete_windows(
        log.connection, tenant=log.tenant, model=log.model, first=first, last=first + HOURS_PER_DAY
    )
    for span in (HOUR, DAY):
        keys = [
            (version, (hour if span == HOUR else first, group))
            for version, labels, _, _ in parts
            for hour, group in labels
        ]
        if not keys:
            return
        names = sorted(set(keys))
        index = {name: at for at, name in enumerate(names)}
        group = np.array([index[key] for key in keys], np.intp)
        rows = sums.merged(np.concatenate([part[2] for part in parts]), group, len(names))
        scores = None
        if any(part[3] is not None for part in parts):
            each = [np.zeros((len(p[1]), _SCORES)) if p[3] is None else p[3] for p in parts]
            scores = np.zeros((len(names), _SCORES))
            np.add.at(scores, group, np.concatenate(each))
        _write(log, span, names, rows, scores)


def _write(
    log: ModelLog, span: str, keys: Sequence[tuple[int, Label]], rows: FloatArray, scores: FloatArray | None
) -> None:
    rows_of.save_windows(
        log.connection,
        [
            {
                "tenant_id": log.tenant,
                "model": log.model,
                "span": span,
                "hour": hour,
                "version": version,
                "series_group": group,
                "sums": rows[at].tobytes(),
                "scores": None if scores is None or not scores[at].any() else _packed(scores[at]),
            }
            for at, (version, (hour, group)) in enumerate(keys)
        ],
    )


def add_feature_windows(
    log: ModelLog, version: int, hours: Sequence[int], moments: FloatArray, bins: NDArray[np.int64]
) -> None:
    """Merge moments (cells, columns, 3) and bins (cells, columns, `BINS`) into the hours and their days."""
    _merge_features(log, (version, HOUR), hours, moments, bins)
    first: dict[int, list[int]] = {}
    for at, hour in enumerate(hours):
        first.setdefault(hour // HOURS_PER_DAY * HOURS_PER_DAY, []).append(at)
    daily = np.stack([_merged_moments(moments[at]) for at in first.values()])
    _merge_features(
        log, (version, DAY), list(first), daily, np.stack([bins[at].sum(axis=0) for at in first.values()])
    )


def _merged_moments(moments: FloatArray) -> FloatArray:
    whole: FloatArray = moments[0]
    for part in moments[1:]:
        whole = merge_moments(whole, part)
    return whole


def _merge_features(
    log: ModelLog, which: tuple[int, str], hours: Sequence[int], moments: FloatArray, bins: NDArray[np.int64]
) -> None:
    version, span = which
    columns = bins.shape[1]
    known = {
        row.hour: row
        for row in rows_of.feature_rows(
            log.connection,
            tenant=log.tenant,
            model=log.model,
            version=version,
            span=span,
            first=min(hours),
            last=max(hours) + 1,
        )
    }
    new = []
    for at, hour in enumerate(hours):
        one, counts = moments[at], bins[at]
        if hour in known:
            one = merge_moments(unpacked_moments(known[hour].moments), one)
            counts = counts + unpacked_bins(known[hour].bins, columns)
        new.append(
            {
                "tenant_id": log.tenant,
                "model": log.model,
                "version": version,
                "span": span,
                "hour": hour,
                "moments": one.tobytes(),
                "bins": _packed(counts, squeeze=span == HOUR),
            }
        )
    rows_of.save_feature_windows(log.connection, new)


def unpacked_moments(body: bytes) -> FloatArray:
    """Read the moments of a window of features, shape (columns, 3)."""
    return np.frombuffer(body).reshape(-1, 3)


def unpacked_bins(body: bytes, columns: int) -> NDArray[np.int64]:
    """Read the counts of a window of features, shape (columns, `BINS`)."""
    return _unpacked(body).astype(np.int64).reshape(columns, BINS)


def unpacked_scores(body: bytes) -> FloatArray:
    """Read the counts of scores of a window, shape (2 x `SCORE_BINS`,)."""
    return _unpacked(body).astype(np.float64)


def _packed(counts: NDArray[Any], *, squeeze: bool = True) -> bytes:
    # Most bins of an hour are empty; days are read by the hundred, and are left as they are.
    body = counts.astype("<u4").tobytes()
    return b"z" + zlib.compress(body, 1) if squeeze else b"r" + body


def _unpacked(body: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(zlib.decompress(body[1:]) if body[:1] == b"z" else body[1:], "<u4")
