"""Ask a model: for the hours to come, or for the rows of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def answer(artifact: Path, *, data: Path | None = None, horizon: int | None = None) -> pl.DataFrame:
    """Return what the model in `artifact` answers.

    A forecast model: the next `horizon` steps of every series (default: its own horizon) with interval; `data` holds
    the future values of the features that it needs. An anomaly model: flag and score per row of `data`.

    Raises
    ------
    ArtifactError
        The file is not a model of the hub.
    InputError
        The model needs `data` and got none, or a column is missing.
    """
    import polars as pl

    from aihub.registry.loading import load_stored
    from aihub.training.data.rows import load_rows
    from aihub.training.model import Forecast
    from aihub.types import Scorer

    model = load_stored(artifact).model
    if isinstance(model, Forecast):
        future = None if data is None else load_rows(data, model.config)
        return model.forecast(horizon, future=future)
    if data is None:
        raise InputError("an anomaly model judges rows; pass them with --data FILE")
    frame = load_rows(data, model.config)
    columns = {"prediction": pl.Series(model.predict(frame)).cast(pl.Int8)}
    if isinstance(model, Scorer):
        columns["score"] = pl.Series(model.score(frame))
    keys = [
        name for name in (model.config.series_id, model.config.timestamp) if name and name in frame.columns
    ]
    return frame.select(keys).with_columns(**columns)
