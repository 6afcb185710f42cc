"""Bare LightGBM and XGBoost models as predictors: checked, tried in a child, then loaded in the library's own form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError, DataError
from aihub.registry import matrix
from aihub.registry.native import lightgbm_text, xgboost_ubj
from aihub.registry.stored import PROFILE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aihub.registry.native.lightgbm_text import LightGbmModel
    from aihub.registry.native.xgboost_ubj import XgboostModel
    from aihub.registry.sandbox import Child
    from aihub.types import FloatArray

TRIAL_ROWS = 64
MAX_FEATURE_NAMES = 100_000
_DEFAULT_NAME = re.compile(r"Column_\d+")


@dataclass(frozen=True, kw_only=True)
class Wrapper:
    """What a scikit-learn wrapper adds to a booster.

    Attributes
    ----------
    classes
        Labels in the order of the outputs; empty for a regressor and for a bare booster.
    rounds
        Rounds to use, counted from the first; 0 means all.
    missing
        Number that stands for a missing value.
    """

    classes: tuple[float, ...] = ()
    rounds: int = 0
    missing: float = np.nan


@dataclass(frozen=True)
class BoosterPredictor:
    """A booster with its column names.

    `predict` answers what the library would: values of a regressor, the label of a classifier that came with its
    labels, the probability of a bare binary booster, the most likely class index of a bare multi-class booster.
    """

    library: str
    feature_names: tuple[str, ...]
    features: int
    outputs: int
    objective: str
    wrapper: Wrapper
    booster: Any = field(repr=False)
    categories: Sequence[Sequence[Any]] | None = None

    def predict(self, data: Any) -> FloatArray:
        """One number per row of `data`, in row order."""
        raw = self._raw(data)
        classes = np.array(self.wrapper.classes, dtype=np.float64)
        if self.outputs > 1:
            if not self.objective.startswith(("multi", "custom")):
                message = f"the model answers {self.outputs} numbers a row; only models with one answer can be judged"
                raise DataError(message)
            best = np.argmax(raw, axis=1) if raw.ndim == 2 else raw.astype(np.int64)  # noqa: PLR2004 - rows, classes
            return classes[best] if len(classes) else best.astype(np.float64)
        if len(classes) == 2:  # noqa: PLR2004 - a binary classifier
            return classes[(raw > 0.5).astype(np.int64)]  # noqa: PLR2004 - as the libraries decide
        return raw

    def score(self, data: Any) -> FloatArray:
        """Probability of the second class per row of `data`, in row order.

        Raises
        ------
        DataError
            The model is not a binary classifier.
        """
        if self.outputs > 1 or not self.objective.startswith(("binary", "cross_entropy")):
            raise DataError(f"a model with objective {self.objective!r} has no score; use predict")
        return self._raw(data)

    def _raw(self, data: Any) -> FloatArray:
        values = self._values(data)
        if self.library == "lightgbm":
            rounds = self.wrapper.rounds or -1
            answer = self.booster.predict(values, num_iteration=rounds, num_threads=1)
        else:
            import xgboost  # noqa: PLC0415 - loaded with the booster already

            names = list(self.feature_names) or None
            types = None if self.categories is None else self.booster.feature_types
            table = xgboost.DMatrix(
                values,
                feature_names=names,
                feature_types=types if isinstance(values, np.ndarray) else None,
                missing=self.wrapper.missing,
                nthread=1,
                enable_categorical=True,
            )
            bounds = (0, self.wrapper.rounds)
            answer = self.booster.predict(table, iteration_range=bounds, validate_features=bool(names))
        return np.asarray(answer, dtype=np.float64)

    def _values(self, data: Any) -> Any:
        if self.categories is None:
            return matrix.matrix(data, self.feature_names, self.features)
        import pandas as pd  # noqa: PLC0415 - only models with pandas categories need it

        found = matrix.columns(data, self.feature_names, self.features)
        as_category = {
            name: pd.Categorical(values) if values.dtype == object else values
            for name, values in found.items()
        }
        return pd.DataFrame(as_category)


def check_native(files: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[LightGbmModel | XgboostModel]]:
    """Check the native files among `files` and return all files with those in canonical form.

    Raises
    ------
    ArtifactError
        A file is damaged, or is neither a native model nor JSON.
    """
    checked: dict[str, bytes] = {}
    models: list[LightGbmModel | XgboostModel] = []
    for name, content in files.items():
        # A profile checks its own digest when it is read, and no native library ever sees it.
        is_ours = name == PROFILE_FILE or (name.endswith(".json") and not xgboost_ubj.looks_like(content))
        if is_ours:
            checked[name] = content
            continue
        try:
            model = parse(content)
        except ArtifactError as error:
            raise ArtifactError(f"file {name!r}: {error}") from error
        models.append(model)
        checked[name] = native_bytes(model)
    return checked, models


def parse(content: bytes) -> LightGbmModel | XgboostModel:
    """Check a bare native model of either library."""
    if lightgbm_text.looks_like(content):
        return lightgbm_text.parse(content)
    if xgboost_ubj.looks_like(content):
        return xgboost_ubj.parse(content)
    raise ArtifactError("this is neither a LightGBM text model nor an XGBoost UBJSON or JSON model")


def native_bytes(model: LightGbmModel | XgboostModel) -> bytes:
    """Return the canonical form as bytes."""
    return model.text.encode() if isinstance(model, lightgbm_text.LightGbmModel) else model.data


def try_out(child: Child, models: Sequence[LightGbmModel | XgboostModel], *, timeout_s: float) -> None:
    """Load each model in the child and let it predict a golden batch.

    Raises
    ------
    ArtifactError
        The library refuses the model, crashes, hangs, or answers something else than finite numbers.
    """
    for model in models:
        is_lightgbm = isinstance(model, lightgbm_text.LightGbmModel)
        request = {
            "op": "trial",
            "library": "lightgbm" if is_lightgbm else "xgboost",
            "features": _count_features(model),
            "outputs": model.outputs,
        }
        # The C function of LightGBM reads up to a zero byte.
        blob = native_bytes(model) + (b"\0" if is_lightgbm else b"")
        limit = 8 * TRIAL_ROWS * max(1, model.outputs)
        _, answer = child.ask(request, blob, timeout_s=timeout_s, max_blob=limit)
        values = np.frombuffer(answer, dtype=np.float64) if len(answer) % 8 == 0 else np.zeros(0)
        if len(values) not in (TRIAL_ROWS, TRIAL_ROWS * model.outputs) or not np.all(np.isfinite(values)):
            raise ArtifactError("the model does not answer finite numbers on a trial batch; train it again")


def _count_features(model: LightGbmModel | XgboostModel) -> int:
    # A LightGBM text names every feature; UBJSON may hold a count alone.
    return len(model.feature_names) if isinstance(model, lightgbm_text.LightGbmModel) else model.features


def load(model: LightGbmModel | XgboostModel, wrapper: Wrapper | None = None) -> BoosterPredictor:
    """Load a model that was checked and tried out."""
    wrapper = wrapper or Wrapper()
    if isinstance(model, lightgbm_text.LightGbmModel):
        import lightgbm  # noqa: PLC0415 - takes half a second

        is_named = not all(_DEFAULT_NAME.fullmatch(name) for name in model.feature_names)
        return BoosterPredictor(
            library="lightgbm",
            feature_names=model.feature_names if is_named else (),
            features=len(model.feature_names),
            outputs=model.outputs,
            objective=model.objective,
            wrapper=wrapper,
            booster=lightgbm.Booster(model_str=model.text),
            categories=model.categories,
        )
    import xgboost  # noqa: PLC0415 - takes half a second

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model.data))
    has_categories = "c" in (booster.feature_types or [])
    return BoosterPredictor(
        library="xgboost",
        feature_names=model.feature_names,
        features=model.features,
        outputs=model.outputs,
        objective=model.objective,
        wrapper=wrapper,
        booster=booster,
        categories=() if has_categories else None,
    )
