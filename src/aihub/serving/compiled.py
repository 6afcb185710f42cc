"""From an artefact to a version in memory that answers in microseconds; compiled once, when it is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aihub.errors import ArtifactError, InputError
from aihub.registry.external import ExternalModel
from aihub.registry.loading import load_stored
from aihub.serving.answers import Answer
from aihub.serving.contract import Column, Contract, Role, Unseen
from aihub.serving.native import NativeCall, native_call

if TYPE_CHECKING:
    from os import PathLike

    from aihub.registry.boosters import BoosterPredictor
    from aihub.registry.sandbox import Limits
    from aihub.serving.answers import CompiledModel
    from aihub.serving.contract import Rows

_HALF = 0.5


@dataclass(frozen=True)
class CompiledBooster:
    """A booster that was trained elsewhere, with numeric columns only.

    Attributes
    ----------
    classes
        Labels of a classifier; empty where the raw answer is the prediction.
    is_multiclass
        Whether the most likely of several outputs is the prediction.
    """

    kind: str
    contract: Contract
    call: NativeCall
    classes: tuple[float, ...] = ()
    is_multiclass: bool = False
    quick_rows: ClassVar[int] = 500

    def predict(self, rows: Rows, *, level: float | None = None) -> Answer:
        """Answer rows; it gives no interval.

        Raises
        ------
        InputError
            An interval was asked for.
        """
        if level is not None:
            raise InputError("the model was trained elsewhere and gives no interval; leave 'level' out")
        if rows.count == 1:
            raw = self._one(rows.first())
            return Answer([raw[0]] if self._is_plain else self._decided(np.array([raw])))
        if not rows.count:
            return Answer([])
        raw_rows = self.call.many(rows.matrix(len(self.contract.names)))
        return Answer(raw_rows if self._is_plain else self._decided(raw_rows.reshape(len(raw_rows), -1)))

    @property
    def _is_plain(self) -> bool:
        return not self.classes and not self.is_multiclass

    def _one(self, row: tuple[Any, ...]) -> list[float]:
        try:
            return self.call.one(row)
        except TypeError:
            return self.call.one([np.nan if value is None else value for value in row])

    def _decided(self, raw: Any) -> list[float]:
        """Label or class index per row, as `BoosterPredictor.predict` decides."""
        classes = np.array(self.classes, dtype=np.float64)
        if not self.is_multiclass:
            label = classes[(raw[:, 0] > _HALF).astype(np.int64)] if len(classes) == 2 else raw[:, 0]  # noqa: PLR2004 - binary
            return [float(one) for one in label]
        best = raw[:, 0].astype(np.int64) if raw.shape[1] == 1 else np.argmax(raw, axis=1)
        return [float(one) for one in (classes[best] if len(classes) else best)]


@dataclass(frozen=True)
class CompiledTableModel:
    """A booster with pandas categories: answered by the library's own predict on a table, which costs milliseconds."""

    kind: str
    contract: Contract
    predictor: BoosterPredictor
    quick_rows: ClassVar[int] = 0

    def predict(self, rows: Rows, *, level: float | None = None) -> Answer:
        """Answer rows; see `CompiledBooster.predict`."""
        if level is not None:
            raise InputError("the model was trained elsewhere and gives no interval; leave 'level' out")
        import polars as pl  # noqa: PLC0415 - only these models need tables

        table: dict[str, Any] = {}
        for at, column in enumerate(self.contract.columns):
            if column.role is Role.NUMBER:
                table[column.name] = rows.numbers(at)
            else:
                table[column.name] = pl.Series(list(rows.column(at)), dtype=pl.String)
        return Answer(self.predictor.predict(pl.DataFrame(table)).tolist())


def compile_version(
    path: str | PathLike[str],
    *,
    limits: Limits | None = None,
    unseen: Unseen = Unseen.MISSING,
    is_tried: bool = False,
) -> CompiledModel:
    """Read the artefact at `path`, try its native files in another process (unless `is_tried`), and compile it.

    Raises
    ------
    ArtifactError
        The artefact is damaged, crashes the library, or is of a kind that cannot be served.
    """
    model = load_stored(path, limits=limits, is_tried=is_tried).model
    return compile_model(model, unseen=unseen)


def compile_model(model: Any, *, unseen: Unseen = Unseen.MISSING) -> CompiledModel:
    """Compile a model that was loaded or trained in this process.

    Raises
    ------
    ArtifactError
        A kind that cannot be served.
    """
    if isinstance(model, ExternalModel):
        return _external(model, unseen)
    family = str(model.kind).partition("/")[0]
    if family == "forecast":
        from aihub.serving.forecasts import compile_forecast  # noqa: PLC0415 - each family loads only what it needs

        return compile_forecast(model, unseen=unseen)
    if family == "anomaly":
        from aihub.serving.detection import compile_detector  # noqa: PLC0415 - as above

        return compile_detector(model, unseen=unseen)
    raise ArtifactError(f"model kind {model.kind!r} cannot be served here; upgrade aihub")


def _external(model: ExternalModel, unseen: Unseen) -> CompiledModel:
    found = model.predictor
    names = found.feature_names or tuple(
        f"{'Column_' if found.library == 'lightgbm' else 'f'}{at}" for at in range(found.features)
    )
    if found.categories is not None:
        roles = _category_columns(found, names)
        return CompiledTableModel(model.kind, Contract(roles, unseen), found)
    if found.outputs > 1 and not found.objective.startswith(("multi", "custom")):
        raise ArtifactError(
            f"the model answers {found.outputs} numbers a row; only models with one answer can be served"
        )
    call = native_call(
        found.booster, features=len(names), rounds=found.wrapper.rounds, missing=found.wrapper.missing
    )
    contract = Contract(tuple(Column(name, Role.NUMBER) for name in names), unseen)
    return CompiledBooster(
        model.kind, contract, call, classes=found.wrapper.classes, is_multiclass=found.outputs > 1
    )


def _category_columns(found: BoosterPredictor, names: tuple[str, ...]) -> tuple[Column, ...]:
    """Tell which columns hold categories: LightGBM writes the levels in training order, XGBoost marks the columns."""
    if found.library == "xgboost":
        types = found.booster.feature_types or []
        return tuple(
            Column(name, Role.CATEGORY if kind == "c" else Role.NUMBER)
            for name, kind in zip(names, types, strict=True)
        )
    infos = found.booster.dump_model(num_iteration=1)["feature_infos"]
    is_category = [bool(infos.get(name, {}).get("values")) for name in names]
    levels = iter(found.categories or ())
    if sum(is_category) != len(found.categories or ()):
        raise ArtifactError(
            "the model does not say which of its columns hold categories; encode them as numbers and train again"
        )
    return tuple(
        Column(name, Role.CATEGORY, tuple(str(level) for level in next(levels)))
        if category
        else Column(name, Role.NUMBER)
        for name, category in zip(names, is_category, strict=True)
    )
