"""Pickles as an import format: read in a confined child, never here, and never written by anybody in the hub."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from aihub.errors import ArtifactError, DataError
from aihub.registry import boosters, matrix
from aihub.registry.boosters import Wrapper
from aihub.registry.sandbox import Child, Limits

if TYPE_CHECKING:
    from aihub.types import FloatArray, Predictor

PREDICT_TIMEOUT_S = 30.0
PREDICT_ROW_TIMEOUT_S = 0.005
"""Longest time of a prediction, and what each row adds: a tree that runs in a circle is told from a slow estimator."""
IMPORT_TIMEOUT_S = 120.0
"""Longest time that importing scikit-learn may take; no file has a part in it."""
BATCH_ROWS = 20_000
MAX_NATIVE_BYTES = 1 << 30
MAX_CPU_S = 3600


@dataclass(frozen=True)
class PickledEstimator:
    """What the child said about the estimator in it; nothing of it was believed further than its type."""

    feature_names: tuple[str, ...]
    features: int | None
    has_score: bool
    notes: tuple[str, ...]
    trusted: bool


def load_pickle(content: bytes, *, trust: bool, limits: Limits) -> Predictor:
    """Read a pickle in a confined child.

    LightGBM and XGBoost models come out of it in native form and are loaded here after the same checks as any native
    file; a scikit-learn estimator stays in the child and predicts there.

    Raises
    ------
    ArtifactError
        The pickle names what is not allowed, is damaged, or does not come to an end in time.
    """
    child = Child(memory_bytes=limits.memory_bytes, cpu_s=MAX_CPU_S)
    try:
        answer, blob = child.ask(
            {"op": "examine", "trust": trust}, content, timeout_s=limits.timeout_s, max_blob=MAX_NATIVE_BYTES
        )
        if answer.get("kind") == "native":
            # What came over the pipe is checked here again: the child is not believed.
            model = boosters.parse(blob)
            boosters.try_out(child, [model], timeout_s=limits.timeout_s)
            child.close()
            return boosters.load(model, _wrapper(answer))
        estimator = _make(child, limits)
        return SandboxedPredictor(content, child, estimator, trust=trust, limits=limits)
    except BaseException:
        child.close()
        raise


def _make(child: Child, limits: Limits) -> PickledEstimator:
    child.ask({"op": "prepare"}, timeout_s=IMPORT_TIMEOUT_S, max_blob=0)
    answer, _ = child.ask({"op": "load"}, timeout_s=limits.timeout_s, max_blob=0)
    return _estimator(answer)


def _wrapper(answer: dict[str, Any]) -> Wrapper:
    classes, rounds, missing = answer.get("classes"), answer.get("rounds"), answer.get("missing")
    if not isinstance(classes, list) or not all(isinstance(label, float) for label in classes):
        raise ArtifactError("the labels of the pickled classifier are not numbers")
    if type(rounds) is not int or not 0 <= rounds <= 1 << 30:
        raise ArtifactError("the number of rounds of the pickled model is not a count")
    return Wrapper(
        classes=tuple(classes), rounds=rounds, missing=missing if isinstance(missing, float) else np.nan
    )


def _estimator(answer: dict[str, Any]) -> PickledEstimator:
    names, notes, features = answer.get("feature_names"), answer.get("notes"), answer.get("features")
    if not isinstance(names, list) or not isinstance(notes, list) or type(features) not in (int, type(None)):
        raise ArtifactError("the process that read the pickle gave an answer of another form")
    return PickledEstimator(
        feature_names=tuple(str(name) for name in names),
        features=features,
        has_score=answer.get("has_score") is True,
        notes=tuple(str(note) for note in notes),
        trusted=answer.get("trusted") is True,
    )


class SandboxedPredictor:
    """A scikit-learn estimator that lives in a confined child process.

    Only numbers and text go in, only numbers come out. A prediction in which the child dies fails; the next one starts
    a new child. Close it, or use it in a `with` block; the child ends with the parent in any case.

    Attributes
    ----------
    trusted
        Whether names beyond the allow-list were let through; a report must say so.
    notes
        What the library said while it read the file, such as that another version wrote it.
    """

    def __init__(
        self, content: bytes, child: Child, estimator: PickledEstimator, *, trust: bool, limits: Limits
    ) -> None:
        self._content = content
        self._child = child
        self._estimator = estimator
        self._trust = trust
        self._limits = limits
        self._lock = threading.Lock()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that `predict` needs, in the estimator's order; empty where it was fitted without names."""
        return self._estimator.feature_names

    @property
    def trusted(self) -> bool:
        """Whether names beyond the allow-list were let through."""
        return self._estimator.trusted

    @property
    def notes(self) -> tuple[str, ...]:
        """What the library said while it read the file."""
        return self._estimator.notes

    def predict(self, data: Any) -> FloatArray:
        """One number per row of `data`, in row order."""
        return self._run(data, score=False)

    def score(self, data: Any) -> FloatArray:
        """Probability of the second class per row of `data`, in row order.

        Raises
        ------
        DataError
            The estimator is not a binary classifier with probabilities.
        """
        if not self._estimator.has_score:
            raise DataError("this estimator has no score for two classes; use predict")
        return self._run(data, score=True)

    def _run(self, data: Any, *, score: bool) -> FloatArray:
        found = matrix.columns(data, self.feature_names, self._estimator.features)
        rows = len(next(iter(found.values()))) if found else 0
        out = np.empty(rows)
        with self._lock:
            for start in range(0, rows, BATCH_ROWS):
                batch = {name: values[start : start + BATCH_ROWS] for name, values in found.items()}
                out[start : start + BATCH_ROWS] = self._batch(batch, score=score)
        return out

    def _batch(self, batch: dict[str, Any], *, score: bool) -> FloatArray:
        rows = len(next(iter(batch.values())))
        texts = {name: values.tolist() for name, values in batch.items() if values.dtype == object}
        numbers = [values for name, values in batch.items() if name not in texts]
        blob = np.ascontiguousarray(np.stack(numbers)).tobytes() if numbers else b""
        request = {"op": "predict", "rows": rows, "columns": list(batch), "texts": texts, "score": score}
        if not self._child.is_alive:
            self._restart()
        timeout_s = PREDICT_TIMEOUT_S + PREDICT_ROW_TIMEOUT_S * rows
        _, answer = self._child.ask(request, blob, timeout_s=timeout_s, max_blob=8 * rows)
        if len(answer) != 8 * rows:
            raise ArtifactError(f"the estimator answered {len(answer) // 8} numbers for {rows} rows")
        return np.frombuffer(answer, dtype=np.float64)

    def _restart(self) -> None:
        self._child.close()
        self._child = Child(memory_bytes=self._limits.memory_bytes, cpu_s=MAX_CPU_S)
        request = {"op": "examine", "trust": self._trust}
        self._child.ask(request, self._content, timeout_s=self._limits.timeout_s, max_blob=MAX_NATIVE_BYTES)
        _make(self._child, self._limits)

    def close(self) -> None:
        """End the child. Idempotent; a later prediction starts a new one."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
