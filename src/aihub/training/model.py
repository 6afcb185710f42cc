"""What a trained model can do, whatever it forecasts or detects, and how one is read back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from aihub.training.config import TrainingConfig
    from aihub.types import FloatArray

MODEL_FILE = "model.json"
"""The one file that every model has: its kind, its config and everything that is not a booster."""


@runtime_checkable
class TrainedModel(Protocol):
    """A model as it comes out of training and goes into an artefact.

    `data` and `history` may be pandas, polars or Arrow tables, rows in any order; answers are in row order.
    `history` holds timestamp, series id (where there is one) and target, and may hold more columns and more rows
    than needed: a row is predicted only from what was known at its forecast origin.
    """

    @property
    def kind(self) -> str:
        """Format of `to_files`, such as ``"forecast/1"``."""
        ...

    @property
    def config(self) -> TrainingConfig:
        """What the model was trained from."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that a caller must send: timestamp, series id (where there is one), features."""
        ...

    def predict(self, data: Any, *, history: Any | None = None) -> FloatArray:
        """One number per row of `data`, in row order."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """Everything that `from_files` needs, by file name: boosters in native text or UBJSON, the rest as JSON."""
        ...


@runtime_checkable
class IntervalModel(TrainedModel, Protocol):
    """A model that says how sure it is."""

    def predict_interval(
        self, data: Any, *, history: Any | None = None, level: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bound per row of `data`, in row order; `level` defaults to the config's."""
        ...


@runtime_checkable
class Forecast(IntervalModel, Protocol):
    """A model that can be asked for tomorrow."""

    def forecast(
        self, horizon: int | None = None, *, history: Any | None = None, future: Any | None = None
    ) -> pl.DataFrame:
        """Next `horizon` steps of every series: timestamp, series id (where there is one), prediction, lower, upper."""
        ...


def load_model(files: Mapping[str, bytes]) -> TrainedModel:
    """Read a model back from the files that `to_files` gave.

    Raises
    ------
    ArtifactError
        No ``model.json``, not JSON, or a kind that this version does not know.
    """
    try:
        kind = json.loads(files[MODEL_FILE])["kind"]
    except KeyError:
        raise ArtifactError(f"the model has no {MODEL_FILE!r} that names its kind; train it again") from None
    except (ValueError, TypeError):
        raise ArtifactError(f"{MODEL_FILE!r} is not a JSON object; train the model again") from None
    family = str(kind).partition("/")[0]
    if family == "forecast":
        from aihub.training.forecast.forecaster import Forecaster  # noqa: PLC0415 - each family loads only what it needs

        return Forecaster.from_files(files)
    if family == "anomaly":
        from aihub.training.anomaly import load_anomaly  # noqa: PLC0415 - as above

        return load_anomaly(files)
    raise ArtifactError(f"model kind {kind!r} is not known here; upgrade aihub, or train the model again")
