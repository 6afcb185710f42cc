"""Load a model and let it predict a table; whatever goes wrong is one clear error."""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import DataError, ValidationError
from aihub.validation.frames import column_names, n_rows, select
from aihub.validation.vectors import floats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aihub.types import FloatArray, Predictor

LOADERS = "aihub.model_loaders"
"""Entry-point group; the entry point ``default`` is a function ``(path, *, trust) -> Predictor``."""


@dataclass(frozen=True)
class Answers:
    """What a model answered for a table, in row order.

    Attributes
    ----------
    y_pred
        One prediction a row, shape (n,); NaN and infinities are kept: they are the model's answer.
    score
        Anomaly scores, shape (n,), where the model gives them.
    interval
        Lower bound, upper bound and nominal level, where the model gives them.
    """

    y_pred: FloatArray
    score: FloatArray | None = None
    interval: tuple[FloatArray, FloatArray, float] | None = None


def load(model: Any, *, loader: Callable[..., Predictor] | None = None, trust: bool = False) -> Predictor:
    """Return `model` if it can predict, else load it from that path.

    Raises
    ------
    ValidationError
        "Failed to load model: ...": no such file, refused, corrupt, or not a model.
    """
    if callable(getattr(model, "predict", None)):
        found: Predictor = model
        return found
    try:
        path = os.fspath(model)
        loaded = (loader or _default_loader())(path, trust=trust)
    except (Exception, SystemExit) as error:
        # loaders are plugins over native libraries and may raise anything
        raise ValidationError(f"Failed to load model: {_said(error)}") from error
    if not callable(getattr(loaded, "predict", None)):
        raise ValidationError(
            f"Failed to load model: {path!r} holds a {type(loaded).__name__} that has no predict(); save a model"
        )
    return loaded


@contextmanager
def opened(
    model: Any, *, loader: Callable[..., Predictor] | None = None, trust: bool = False
) -> Iterator[Predictor]:
    """Yield `load`'s predictor, and at the end close one that was loaded here and holds a child process.

    Raises
    ------
    ValidationError
        As `load`.
    """
    predictor = load(model, loader=loader, trust=trust)
    try:
        yield predictor
    finally:
        # What the caller has made is the caller's to close.
        if predictor is not model and callable(close := getattr(predictor, "close", None)):
            close()


def loading_notes(predictor: Any) -> list[str]:
    """Return what a report must repeat of how the model was read: undue trust, and what its library remarked."""
    beyond = "the model is a pickle that names more than the allow-list; it was read because `trust` said so"
    notes = [beyond] if getattr(predictor, "trusted", False) is True else []
    said = getattr(predictor, "notes", ())
    return notes + [str(note) for note in said] if isinstance(said, tuple | list) else notes


def _default_loader() -> Callable[..., Predictor]:
    points = [point for point in entry_points(group=LOADERS) if point.name == "default"]
    if not points:
        raise ValidationError(
            f"no loader is registered in the group {LOADERS!r}; reinstall aihub or give `loader=`"
        )
    loader: Callable[..., Predictor] = points[0].load()
    return loader


def answers(
    predictor: Predictor,
    table: Any,
    *,
    target: str | None,
    is_anomaly: bool,
    with_interval: bool = True,
    history: Any = None,
) -> Answers:
    """Let `predictor` predict every row of `table`.

    It gets the columns it names, in its order; one that names none gets every column but the target. One that takes
    `history` gets the one given, or the whole table (see `aihub.types.HistoryPredictor`: this leaks nothing).

    Raises
    ------
    ValidationError
        "Failed to generate predictions: ...": a column is missing, the model raised, or the answer is not one number a
        row.
    """
    rows = n_rows(table)
    try:
        data = select(table, needed_columns(predictor, table, target))
        past = {"history": table if history is None else history} if _takes_history(predictor.predict) else {}
        if not is_anomaly and with_interval and callable(getattr(predictor, "predict_with_interval", None)):
            return _with_interval(predictor, data, past, rows)
        y_pred = _numbers(predictor.predict(data, **past), rows, "predictions")
        score = interval = None
        if is_anomaly:
            score = _score(predictor, data, past, y_pred, rows)
        elif with_interval and callable(getattr(predictor, "predict_interval", None)):
            interval = _interval(predictor, data, past, rows)
    except (Exception, SystemExit) as error:
        # models are anybody's code; the caller needs one kind of error, and one that ends the process with 0 has not passed
        raise ValidationError(f"Failed to generate predictions: {_said(error)}") from error
    return Answers(y_pred, score, interval)


class Remembering:
    """A predictor that is given the same history every time it is asked; everything else is the predictor's own."""

    def __init__(self, predictor: Any, history: Any) -> None:
        self._predictor = predictor
        self._history = history

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that `predict` needs, in the model's order."""
        return tuple(self._predictor.feature_names)

    def predict(self, data: Any) -> FloatArray:
        """One number per row of `data`, in row order."""
        found: FloatArray = self._predictor.predict(data, history=self._history)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)


def with_history(predictor: Predictor, history: Any) -> Predictor:
    """Return `predictor`, bound to `history` where it looks at its past."""
    return Remembering(predictor, history) if _takes_history(predictor.predict) else predictor


def needed_columns(predictor: Any, table: Any, target: str | None) -> tuple[str, ...]:
    """Columns that the model asks for; all but the target where it does not say.

    A scikit-learn estimator says it in ``feature_names_in_``.
    """
    named = getattr(predictor, "feature_names", None)
    if named is None or callable(named):
        named = getattr(predictor, "feature_names_in_", ())
    names = () if named is None else tuple(str(name) for name in named)
    return names or tuple(name for name in column_names(table) if name != target)


def config_of(predictor: Any) -> Mapping[str, Any]:
    """Return the training configuration that a model carries, as a mapping; empty where it carries none."""
    for holder in (predictor, getattr(predictor, "model", None)):
        config = getattr(holder, "config", None)
        if config is None:
            continue
        if isinstance(config, dict):
            return config
        if callable(dump := getattr(config, "model_dump", None)):
            dumped: dict[str, Any] = dump()
            return dumped
    return {}


def watches(predictor: Any, column: str | None) -> bool:
    """Whether `column` is what an anomaly detector watches without labels, and so no label."""
    is_unlabelled = getattr(predictor, "mode", None) == "unlabelled"
    return column is not None and is_unlabelled and config_of(predictor).get("target") == column


def _takes_history(method: Callable[..., Any]) -> bool:
    try:
        return "history" in inspect.signature(method).parameters
    except (TypeError, ValueError):  # builtins and compiled callables have no signature
        return False


def _score(
    predictor: Any, data: Any, history: Mapping[str, Any], y_pred: FloatArray, rows: int
) -> FloatArray | None:
    """Scores of an anomaly model; predictions that are not just 0 and 1 are scores themselves."""
    if hasattr(predictor, "feature_names") and callable(method := getattr(predictor, "score", None)):
        return _numbers(method(data, **(history if _takes_history(method) else {})), rows, "scores")
    return None if np.isin(y_pred, (0.0, 1.0)).all() else y_pred


def _with_interval(predictor: Any, data: Any, history: Mapping[str, Any], rows: int) -> Answers:
    """Predictions and bounds of a model that gives both in one pass, at half the cost."""
    found = predictor.predict_with_interval(data, **history)
    y_pred, lower, upper = (_numbers(one, rows, "predictions with bounds") for one in found)
    return Answers(y_pred, interval=(lower, upper, _level_of(predictor)))


def _level_of(predictor: Any) -> float:
    return float(config_of(predictor).get("interval_level", 0.9))


def _interval(
    predictor: Any, data: Any, history: Mapping[str, Any], rows: int
) -> tuple[FloatArray, FloatArray, float] | None:
    method = predictor.predict_interval
    found = method(data, **(history if _takes_history(method) else {}))
    if found is None:
        return None
    lower, upper = (_numbers(side, rows, "interval bounds") for side in found)
    return lower, upper, _level_of(predictor)


def _numbers(values: Any, rows: int, what: str) -> FloatArray:
    numbers = floats(values, what)
    if len(numbers) != rows:
        raise DataError(f"the model answered {len(numbers)} {what} for {rows} rows; it must answer one a row")
    return numbers


def _said(error: BaseException) -> str:
    """Text of an error; its type where it says nothing, or where the text alone is a riddle (``KeyError: 'x'``)."""
    text = str(error)
    if isinstance(error, ValidationError | OSError | DataError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
