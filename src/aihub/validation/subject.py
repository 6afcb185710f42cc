"""Put together what a gate judges, from a model, a table and whatever it is compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError, ValidationError, did_you_mean
from aihub.types import ModelType
from aihub.validation.checks.base import Subject
from aihub.validation.frames import Columns, column_names, columns, n_rows
from aihub.validation.prediction import (
    answers,
    config_of,
    loading_notes,
    needed_columns,
    opened,
    watches,
    with_history,
)
from aihub.validation.profile import Profile
from aihub.validation.vectors import floats, timestamps_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from aihub.types import FloatArray, Predictor

_LONGEST_LINE = 1 << 20
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x\x01", b"x\x9c", b"x\xda")


@dataclass(frozen=True)
class Built:
    """A subject with the name of its model and facts for the report."""

    subject: Subject
    name: str
    context: Mapping[str, Any]


@contextmanager
def subject_of(
    model_type: ModelType,
    model: Any,
    data: Any,
    target: str | None,
    *,
    loader: Callable[..., Predictor] | None,
    champion: Any,
    training_profile: Any,
    reference: Any,
    history: Any,
    timestamps: str | None,
    series: str | None,
    season_steps: int | None,
    trust: bool,
    seed: int,
    baseline_metrics: Mapping[str, float] | None,
    training_stats: Mapping[str, Mapping[str, float]] | None,
) -> Iterator[Built]:
    """Load the model, let it predict, and gather everything that checks look at; the model is closed at the end.

    Raises
    ------
    ValidationError
        The model, or the champion, cannot be loaded or cannot predict.
    DataError
        The table cannot be used, is empty, or lacks a column that was named.
    """
    table = read(data)
    names = column_names(table)
    _require(table, names, target=target, timestamps=timestamps, series=series)
    past = table if history is None else history
    is_anomaly = model_type is ModelType.ANOMALY
    with opened(model, loader=loader, trust=trust) as predictor:
        config = config_of(predictor)
        # A value that is watched without labels is no truth that 0/1 answers could be held against.
        label = None if is_anomaly and watches(predictor, target) else target
        answer = answers(predictor, table, target=label, is_anomaly=is_anomaly, history=past)
        time_column, series_column = _roles(config, names, timestamps, series)
        all_columns = columns(table)
        stamps = None if time_column is None else timestamps_utc(all_columns[time_column], time_column)
        ids = None if series_column is None else all_columns[series_column]
        champion_pred = None
        if champion is not None:
            champion_pred = _champion(
                champion, table, target, loader=loader, is_anomaly=is_anomaly, trust=trust, history=past
            )
        horizon = config.get("horizon")
        subject = Subject(
            model_type=model_type,
            features=_features(table, predictor, names, {target, time_column, series_column}),
            table=all_columns,
            y_pred=answer.y_pred,
            y_true=None if label is None else _truth(all_columns[label], label, is_anomaly=is_anomaly),
            score=answer.score,
            interval=answer.interval,
            timestamps=stamps,
            series=ids,
            baseline_metrics=_baseline(baseline_metrics),
            champion_pred=champion_pred,
            training_stats=_stats(training_stats),
            training_profile=_profile(training_profile, predictor),
            reference=None if reference is None else columns(read(reference)),
            feature_importance=_importance(predictor),
            predictor=with_history(predictor, past),
            keys={
                name: v for name, v in ((time_column, stamps), (series_column, ids)) if name and v is not None
            },
            artifact_size_bytes=_size(model),
            time_zone=str(config.get("time_zone") or "UTC"),
            horizon_steps=horizon if isinstance(horizon, int) else None,
            season_steps=season_steps or _season(stamps, horizon),
            seed=seed,
        )
        context = {
            "target": target,
            "timestamps": time_column,
            "series": series_column,
            "has_champion": champion_pred is not None,
            "trusted": getattr(predictor, "trusted", False) is True,
            "notes": loading_notes(predictor),
        }
        yield Built(subject, _name(model), context)


def read(data: Any) -> Any:
    """Return a table; reads it where `data` is the path of a CSV or Parquet file.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    if not isinstance(data, str | os.PathLike):
        return data
    import polars as pl  # noqa: PLC0415 - only for files

    path = Path(data)
    _require_file(path)
    try:
        if path.suffix in {".parquet", ".pq"}:
            return pl.read_parquet(path, glob=False)
        _require_lines(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=10_000, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"cannot be read: {reason}. Give a CSV or Parquet file.", file=str(path)) from error


def _require_file(path: Path) -> None:
    # A pipe or a device may never end.
    if not path.is_file():
        raise DataError("there is no such file, or it is no regular one. Check the path.", file=str(path))


def _require_lines(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_LINE)
    if len(head) == _LONGEST_LINE and b"\n" not in head and not head.startswith(_COMPRESSED):
        raise DataError(
            f"has no line end in its first {_LONGEST_LINE >> 20} MiB. Give a table with one row a line.",
            file=str(path),
        )


def _require(table: Any, names: tuple[str, ...], **roles: str | None) -> None:
    for role, name in roles.items():
        if name is not None and not isinstance(name, str):
            raise DataError(f"the {role} column was named as {name!r}; give its name as text")
        if name is not None and name not in names:
            raise DataError(
                f"the validation data has no such column, which was named as {role}.{did_you_mean(name, names)}",
                column=name,
            )
    if not n_rows(table):
        raise DataError("the validation data has no rows; a model is validated on at least one")


def _truth(values: NDArray[Any], name: str, *, is_anomaly: bool) -> FloatArray:
    found = floats(values, name)
    if is_anomaly:
        odd = np.flatnonzero(np.isfinite(found) & ~np.isin(found, (0.0, 1.0)))
        if odd.size:
            # scikit-learn's -1 for an outlier and 1 for the rest would be judged the wrong way round.
            raise DataError(
                f"{found[odd[0]]:g} is no label; give 1 for an anomaly and 0 for the rest",
                column=name,
                row=int(odd[0]) + 1,
            )
    return found


def _baseline(metrics: Any) -> Mapping[str, float] | None:
    """Metrics of the previous model as numbers; NaN stays, for the check to refuse."""
    if metrics is None:
        return None
    if not isinstance(metrics, Mapping):
        raise DataError(
            f'baseline metrics of type {type(metrics).__name__}; give a mapping such as {{"mae": 45.0}}'
        )
    numbers = {}
    for name, value in metrics.items():
        try:
            numbers[str(name)] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"baseline metric {name!r} is {str(value)[:40]!r}, which is no number; give one or leave it out"
            ) from None
    return numbers


def _stats(stats: Any) -> Mapping[str, Mapping[str, float]] | None:
    if stats is None:
        return None
    if not isinstance(stats, Mapping) or not all(isinstance(one, Mapping) for one in stats.values()):
        raise DataError(
            'training statistics must name mean and std per column, such as {"temperature": {"mean": 20.0, "std": 5.0}}'
        )
    return stats


def _roles(
    config: Mapping[str, Any], names: tuple[str, ...], timestamps: str | None, series: str | None
) -> tuple[str | None, str | None]:
    """Columns of time stamps and series ids: as said, else as the model's configuration names them."""
    time_column = timestamps or config.get("timestamp")
    series_column = series or config.get("series_id")
    return (
        time_column if time_column in names else None,
        series_column if series_column in names else None,
    )


def _features(table: Any, predictor: Predictor, names: tuple[str, ...], others: set[str | None]) -> Columns:
    chosen = [name for name in needed_columns(predictor, table, None) if name in names and name not in others]
    found = columns(table, only=chosen)
    if not isinstance(found, Columns):
        raise TypeError(type(found).__name__)
    return found


def _champion(
    champion: Any, table: Any, target: str | None, *, loader: Any, is_anomaly: bool, trust: bool, history: Any
) -> FloatArray:
    """Predictions of the champion: given, or asked for."""
    if not isinstance(champion, str | os.PathLike) and not callable(getattr(champion, "predict", None)):
        found = floats(champion, "champion")
        if len(found) != n_rows(table):
            raise DataError(f"{len(found)} champion predictions for {n_rows(table)} rows; give one per row")
        return found
    try:
        with opened(champion, loader=loader, trust=trust) as predictor:
            return answers(
                predictor, table, target=target, is_anomaly=is_anomaly, with_interval=False, history=history
            ).y_pred
    except ValidationError as error:
        raise ValidationError(
            f"{error} (this is the champion; validate without it to judge the model alone)"
        ) from error


def _profile(given: Any, predictor: Any) -> Profile | None:
    if given is None:
        given = getattr(predictor, "training_profile", None)
    if given is None or isinstance(given, Profile):
        return given
    if isinstance(given, bytes):
        return Profile.from_bytes(given)
    path = Path(given)
    _require_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the profile cannot be read: {error}. Give a file that `aihub profile` wrote.", file=str(path)
        ) from error
    return Profile.from_bytes(data)


def _importance(predictor: Any) -> dict[str, float] | None:
    """Shares of gain per feature, where the model knows them."""
    found = getattr(predictor, "feature_importance", None)
    if callable(found):
        try:
            found = found()
        except TypeError:  # LightGBM's own booster has a method of this name with another meaning
            return None
    if found is None or not hasattr(found, "items"):
        return None
    gains = {str(name): float(gain) for name, gain in found.items()}
    total = sum(gains.values())
    return {name: gain / total for name, gain in gains.items()} if total > 0 else None


def _size(model: Any) -> int | None:
    if not isinstance(model, str | os.PathLike):
        return None
    path = Path(model)
    return path.stat().st_size if path.is_file() else None


def _season(stamps: NDArray[np.datetime64] | None, horizon: Any) -> int | None:
    """Count the steps of whole days that are at least as long as the horizon; None where the step is not known."""
    if stamps is None:
        return None
    known = np.unique(stamps[~np.isnat(stamps)])
    if known.size < 2:  # noqa: PLR2004 - one time stamp has no step
        return None
    step = np.median(np.diff(known).astype(np.int64))
    day = round(86_400_000_000 / step)
    if day < 1:
        return 1
    steps = horizon if isinstance(horizon, int) and horizon > 0 else day
    return day * -(-steps // day)


def _name(model: Any) -> str:
    return os.fspath(model) if isinstance(model, str | os.PathLike) else type(model).__name__
