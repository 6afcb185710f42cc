"""What the description of the API says about predictions; the requests themselves are answered by `PredictRoute`.

In a process that serves, these addresses are answered before the framework sees them. Here they say that this process
does not, so that a wrong address in a proxy is told apart from a model that is not there.
"""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Body, Depends, Query
from pydantic import BaseModel, Field

from aihub.api.context import Caller, Needs
from aihub.api.problems import documented
from aihub.errors import DataError, NotFoundError, UnavailableError

router = APIRouter(tags=["predictions"])
_AWAY = "this process does not serve models; ask one that was started with aihub serve or aihub up"


class Predictions(BaseModel):
    """Answers, one entry a row in every list."""

    model: str
    version: int = Field(description="Number of the version that answered all rows.")
    semantic: str = Field(description="The same version as `v1.2.3`.")
    ids: list[str] = Field(description="Names of the predictions; send actuals under them.")
    prediction: list[float] = Field(description="The forecast; 1 or 0 of an anomaly model.")
    lower: list[float] | None = Field(default=None, description="Lower bound of the interval.")
    upper: list[float] | None = Field(default=None, description="Upper bound of the interval.")
    level: float | None = Field(default=None, description="Probability that the interval holds the actual.")
    anomaly: list[bool] | None = Field(default=None, description="Whether the row is an alarm.")
    score: list[float] | None = Field(default=None, description="Calibrated anomaly score, 0 to 1.")
    timestamp: list[str] | None = Field(default=None, description="Time that each row is about, UTC.")
    series: list[str] | None = Field(default=None, description="Series of each row.")


class Schema(BaseModel):
    """What a version takes."""

    model: str
    version: int
    semantic: str
    kind: str
    columns: list[dict[str, Any]] = Field(description="Name, role, type and whether it may be null.")
    unseen_categories: str = Field(description="`missing` or `refuse`.")


@router.post(
    "/models/{name}/predict",
    summary="Ask a model",
    response_model=Predictions,
    response_model_exclude_none=True,
    responses=documented(NotFoundError, DataError),
)
def predict(
    name: str,
    who: Annotated[Caller, Depends(Needs("predict"))],
    body: Annotated[
        dict[str, Any],
        Body(
            description=(
                "`records` (a list of objects), `columns` (lists by name) or `horizon` (steps ahead), with `level`, "
                "`series`, `timestamp`, and `future` beside a horizon. Also as NDJSON, Arrow IPC or Parquet."
            )
        ),
    ],
    environment: Annotated[str, Query(pattern="^[a-z0-9._-]{1,32}$")] = "production",
) -> NoReturn:
    """Answer rows, or the next steps of a forecast: prediction, interval, version and prediction ids."""
    del name, who, body, environment
    raise UnavailableError(_AWAY)


@router.get(
    "/models/{name}/schema",
    summary="Columns that the version in service takes",
    response_model=Schema,
    responses=documented(NotFoundError),
)
def schema(
    name: str,
    who: Annotated[Caller, Depends(Needs("models:read"))],
    environment: Annotated[str, Query(pattern="^[a-z0-9._-]{1,32}$")] = "production",
) -> NoReturn:
    """Return the contract that every request is checked against."""
    del name, who, environment
    raise UnavailableError(_AWAY)
