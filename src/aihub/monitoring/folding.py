"""Predictions and actuals into windows: what came in is added, what was corrected is computed anew from the raw log.

A window is an hour of target time, a version (below zero: `aihub.monitoring.predictions.unheard`) and a group of series; a day adds up its hours. Adding merges sums, so that
no prediction is looked at twice. A correction cannot be taken out of an extreme, so it marks its day dirty: the hours
are then computed again from the raw log, by the same functions as `repair`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.monitoring import sums
from aihub.monitoring.chunks import (
    BY_ID,
    DAY_US,
    HOURS_PER_DAY,
    PredictionRows,
    codes_of,
    feature_columns,
    features_from_bytes,
    hours_of,
    id_keys,
)
from aihub.monitoring.predictions import created_us
from aihub.monitoring.storage import add_feature_windows, add_windows, replace_windows
from aihub.store import observations as rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from aihub.monitoring.context import Contexts, VersionContext
    from aihub.monitoring.log import ModelLog
    from aihub.types import FloatArray

Found = tuple["list[tuple[int, str]]", "FloatArray", "FloatArray | None"]
"""Windows: hour and group of each, sums, scores of anomaly models."""
SEASON_DAYS = 7
"""The seasonal-naive reference: the value of a week before."""
NAIVE = 0
"""Its version in the windows."""


def fold_pending(log: ModelLog, contexts: Contexts) -> int:
    """Fold the predictions that wait: join with actuals that came before them, add to the windows; return how many."""
    waiting = rows_of.prediction_chunks_of(
        log.connection, tenant=log.tenant, model=log.model, waiting=True, features=True
    )
    groups: dict[tuple[int, int], list[Any]] = {}
    for chunk in waiting:
        groups.setdefault((chunk.version, chunk.day), []).append(chunk)
    for (version, day), chunks in groups.items():
        context = contexts.of(log.tenant, log.model, abs(version))
        parts = [PredictionRows.from_bytes(c.body, c.row_count) for c in chunks]
        rows = PredictionRows.joined(parts)
        _add(log, version, _predicted(log, day, rows, context))
        _add(log, version, _observed(log, day, rows, actuals_for(log, day, rows), context))
        for part, chunk in zip(parts, chunks, strict=True):
            columns = feature_columns(features_from_bytes(chunk.features))
            _fold_features(log, (version, day), part, columns, context)
        log.merge_chunks(version, day, rows_of.PENDING, 0)
        log.compact_predictions(version, day)
    return sum(chunk.row_count for chunk in waiting)


def actuals_for(log: ModelLog, day: int, rows: PredictionRows) -> FloatArray:
    """Actual of each prediction, NaN where none has come."""
    hit, values = log.actuals(day).find(rows.key)
    if hit.all():
        return values
    # An actual that came before its prediction's log, by id, waits under the day on which the prediction was made.
    ids = rows.ids[~hit]
    days = created_us(ids) // DAY_US
    found = np.full(ids.shape, np.nan)
    for made in np.unique(days).tolist():
        at = days == made
        found[at] = log.actuals(int(made)).find(id_keys(ids[at]))[1]
    values[~hit] = found
    return values


def add_observed(
    log: ModelLog, day: int, keys: NDArray[np.uint64], values: FloatArray, contexts: Contexts
) -> tuple[NDArray[np.bool_], bool]:
    """Add actuals that are new (`keys` ascending) to the windows of the predictions of `day` that they answer.

    Returns
    -------
    tuple
        Whether an actual had a prediction, shape of `keys`; and whether one of the predictions has an actual by its id
        already, so that the day must be computed anew.
    """
    met, is_dirty = np.zeros(keys.shape, bool), False
    for version, parts in log.predictions(day).items():
        for rows in parts:
            at = np.minimum(np.searchsorted(keys, rows.key), keys.size - 1)
            hit = keys[at] == rows.key
            if not hit.any():
                continue
            met[at[hit]] = True
            if has_actual_by_id(log, rows.ids[hit]):
                is_dirty = True
                continue
            context = contexts.of(log.tenant, log.model, abs(version))
            _add(log, version, _observed(log, day, rows.take(hit), values[at[hit]], context))
    return met, is_dirty


def has_actual_by_id(log: ModelLog, ids: NDArray[np.int64]) -> bool:
    """Tell whether an actual came for one of these predictions by id, before its log was there."""
    days = created_us(ids) // DAY_US
    for made in np.unique(days).tolist():
        known = log.actuals(int(made))
        if len(known) and known.key[-1] & BY_ID and known.find(id_keys(ids[days == made]))[0].any():
            return True
    return False


def add_naive(log: ModelLog, day: int, keys: NDArray[np.uint64], values: FloatArray) -> None:
    """Add new actuals of `day` to the seasonal-naive windows: as targets here, and as forecasts a week later."""
    hit, before = log.actuals(day - SEASON_DAYS).find(keys)
    _add_naive(log, day, keys[hit], values[hit], before[hit])
    hit, after = log.actuals(day + SEASON_DAYS).find(keys)
    _add_naive(log, day + SEASON_DAYS, keys[hit], after[hit], values[hit])


def _add_naive(
    log: ModelLog, day: int, keys: NDArray[np.uint64], actual: FloatArray, forecast: FloatArray
) -> None:
    if keys.size:
        nothing = np.full(keys.shape, np.nan)
        rows = PredictionRows(keys, keys.astype(np.int64), sums.Answers(forecast, nothing, nothing, nothing))
        cell, labels = _cells(log, day, rows)
        add_windows(log, NAIVE, labels, sums.error_sums(cell, len(labels), actual, rows.answers))


def refold(log: ModelLog, days: Iterable[int], contexts: Contexts, *, features: bool = False) -> int:
    """Compute the windows of whole days again from the raw log; return the predictions read.

    With `features` those of the features too. Days whose raw log is gone must not be asked for.
    """
    seen = 0
    for day in sorted(set(days)):
        seen += _refold_day(log, day, contexts, features=features)
    return seen


def _refold_day(log: ModelLog, day: int, contexts: Contexts, *, features: bool) -> int:
    seen = 0
    found: list[tuple[int, list[tuple[int, str]], FloatArray, FloatArray | None]] = []
    for version, parts in log.predictions(day).items():
        context = contexts.of(log.tenant, log.model, abs(version))
        for rows in parts:
            seen += len(rows)
            found.append((version, *_predicted(log, day, rows, context)))
            found.append((version, *_observed(log, day, rows, actuals_for(log, day, rows), context)))
        if features:
            rows_of.delete_feature_windows(
                log.connection, tenant=log.tenant, model=log.model, version=version, day=day
            )
            for rows, columns in log.features(day, version):
                _fold_features(log, (version, day), rows, columns, context)
    own = log.actuals(day)
    hit, before = log.actuals(day - SEASON_DAYS).find(own.key)
    if hit.any():
        nothing = np.full(int(hit.sum()), np.nan)
        naive = PredictionRows(
            own.key[hit],
            own.key[hit].astype(np.int64),
            sums.Answers(before[hit], nothing, nothing, nothing),
        )
        cell, labels = _cells(log, day, naive)
        found.append((NAIVE, labels, sums.error_sums(cell, len(labels), own.value[hit], naive.answers), None))
    replace_windows(log, day, found)
    return seen


def _add(log: ModelLog, version: int, found: Found) -> None:
    labels, rows, scores = found
    add_windows(log, version, labels, rows, scores=scores)


def _cells(log: ModelLog, day: int, rows: PredictionRows) -> tuple[NDArray[np.intp], list[tuple[int, str]]]:
    """Window of each row: index, and (hour, group) of each index."""
    groups = log.groups or [""]
    names = sorted(set(groups))
    of_code = np.array([names.index(group) for group in groups], np.int64)
    hours = hours_of(rows.key, day)
    both = hours * len(names) + of_code[codes_of(rows.key)]
    found, cell = np.unique(both, return_inverse=True)
    return cell.reshape(-1), [(int(v) // len(names), names[int(v) % len(names)]) for v in found.tolist()]


def _predicted(log: ModelLog, day: int, rows: PredictionRows, context: VersionContext) -> Found:
    cell, labels = _cells(log, day, rows)
    return labels, sums.prediction_sums(cell, len(labels), rows.answers, level=context.level), None


def _observed(
    log: ModelLog, day: int, rows: PredictionRows, actual: FloatArray, context: VersionContext
) -> Found:
    known = np.isfinite(actual)
    if not known.any():
        return [], sums.empty(0), None
    if not known.all():
        rows, actual = rows.take(known), actual[known]
    cell, labels = _cells(log, day, rows)
    found = sums.error_sums(cell, len(labels), actual, rows.answers, classes=context.classes)
    scores = None
    if context.classes:
        scores = sums.score_counts(cell, len(labels), actual, rows.answers.score)
    return labels, found, scores


def _fold_features(
    log: ModelLog,
    version_day: tuple[int, int],
    rows: PredictionRows,
    columns: dict[str, Any],
    context: VersionContext,
) -> None:
    version, day = version_day
    if not columns or not context.grid.columns:
        return
    hours, cell = np.unique(hours_of(rows.key, day), return_inverse=True)
    bins, moments = context.grid.fold(columns, cell.reshape(-1), len(hours))
    add_feature_windows(log, version, hours.tolist(), moments, bins)


def days_between(first_hour: int, last_hour: int) -> Sequence[int]:
    """Days that hours `first_hour` up to and without `last_hour` touch."""
    return range(first_hour // HOURS_PER_DAY, -(-last_hour // HOURS_PER_DAY))
