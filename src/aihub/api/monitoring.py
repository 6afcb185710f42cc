"""`/models/{name}/performance` and `/actuals`: how a model does in the world, and what really happened there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
import structlog
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from aihub.api.bodies import JsonRoute
from aihub.api.border import LIMIT
from aihub.api.context import Caller, ModelsReader, Needs
from aihub.api.problems import documented
from aihub.api.views import ModelName
from aihub.delivery import watch
from aihub.errors import AIHubError, DataError, NotFoundError
from aihub.monitoring.parsing import parse
from aihub.monitoring.performance import parse_step, parse_time
from aihub.store import models as model_rows
from aihub.store.engine import read

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger("aihub.api")
router = APIRouter(route_class=JsonRoute, tags=["monitoring"])
Teller = Annotated[Caller, Depends(Needs("actuals:write"))]
Moment = Annotated[
    str | None,
    Query(
        max_length=40,
        description="ISO date or time; without a zone it is UTC.",
        examples=["2026-01-31T14:00:00"],
    ),
]
DEFAULT_DAYS = 7
"""The guide's range, where none is named."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ROW = {
    "type": "object",
    "properties": {
        "prediction_id": {"type": "string", "description": "As the prediction was answered with."},
        "series": {"type": "string"},
        "timestamp": {
            "type": "string",
            "description": "What the value is about; without an offset it is wall clock of the zone in which training read its stamps.",
        },
        "actual": {"type": "number"},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "Rows with `actual`, and `prediction_id` or `timestamp` (with `series`, where there are several).",
        "content": {
            "application/json": {"schema": {"oneOf": [
                {"type": "array", "items": _ROW},
                {"type": "object", "properties": {"actuals": {"type": "array", "items": _ROW}}},
            ]}},
            "application/x-ndjson": _BINARY,
            "text/csv": _BINARY,
            "application/vnd.apache.parquet": _BINARY,
        },
    }
}  # fmt: skip


class RejectedView(BaseModel):
    """A row that was not taken."""

    row: int = Field(description="Number of the row in the upload, from 1.")
    reason: str


class FaultView(BaseModel):
    """A fault of the stream of one series."""

    series: str
    kind: str = Field(description="gap, stuck, spike, clock or unit.")
    since: datetime
    at: datetime
    detail: str


class ReceiptView(BaseModel):
    """What became of an upload of actuals."""

    accepted: int = Field(description="New actuals.")
    duplicate: int = Field(description="The same again: nothing changed.")
    corrected: int = Field(description="Another value than before; it counts from now on.")
    matched: int = Field(description="New or corrected actuals that answered a prediction.")
    early: int = Field(description="New actuals without a prediction yet; they wait for it.")
    adjusted: int = Field(
        description="Rows whose time lay within a hundredth of the model's step beside its grid, and was put on it."
    )
    late: int = Field(description="Actuals that came more than a day after their time.")
    rejected: int
    reasons: list[RejectedView] = Field(description="The first thousand rejected rows.")
    faults: list[FaultView]


@router.get(
    "/models/{name}/performance",
    summary="See how a model does in the world",
    responses=documented(NotFoundError),
)
def show_performance(
    name: ModelName,
    who: ModelsReader,
    start_date: Moment = None,
    end_date: Moment = None,
    step: Annotated[
        str | None, Query(max_length=8, description="`6h`, `1d`, `7d`: a series besides.")
    ] = None,
) -> dict[str, Any]:
    """Metrics, counts, drift and faults between two times, by default the last week.

    What is not known is null with a reason. Figures under `estimate` are estimates, and blind to a change of the
    relation between inputs and target.
    """
    end = parse_time(end_date, "end_date") if end_date else who.now
    start = parse_time(start_date, "start_date") if start_date else end - timedelta(days=DEFAULT_DAYS)
    _check_model(who, name)
    found = who.hub.observations.performance(
        who.tenant, name, start, end, step=parse_step(step) if step else None
    )
    return found.to_dict()


@router.post(
    "/models/{name}/actuals",
    summary="Tell what really happened",
    response_model=ReceiptView,
    openapi_extra=_BODY,
    responses=documented(NotFoundError, DataError, also=[413]),
)
async def take_actuals(request: Request, name: ModelName, who: Teller) -> Mapping[str, Any]:
    """Take actuals, new or corrected, early or late. Idempotent by itself: the same rows again change nothing."""
    request.scope[LIMIT] = who.hub.settings.max_bulk_mb << 20
    body = await request.body()
    kind = request.headers.get("content-type", "")
    return await anyio.to_thread.run_sync(_taken, who, name, body, kind)


def _taken(who: Caller, name: str, body: bytes, kind: str) -> Mapping[str, Any]:
    _check_model(who, name)
    observations = who.hub.observations
    table = parse(body, kind, observations.contexts.latest(who.tenant, name))
    receipt = observations.ingest_actuals(who.tenant, name, table, now=who.now)
    try:
        watch.evaluate_soon(who.hub, who.tenant, name, who.now)
    except AIHubError as error:
        # The actuals are in; the watch looks again in six hours and keeps its fault where `aihub doctor` finds it.
        log.warning("watch.failed", model=name, tenant=who.tenant, error=str(error))
    return receipt.to_dict()


@router.get(
    "/models/{name}/watch", summary="See what the watch did to a model", responses=documented(NotFoundError)
)
def show_watch(name: ModelName, who: ModelsReader) -> dict[str, Any]:
    """Show the latest hundred alerts, pages and rollbacks with their evidence, newest first."""
    _check_model(who, name)
    with who.reading() as connection:
        events = watch.events(connection, tenant=who.tenant, model=name, limit=100)
    hidden = {"id", "tenant_id"}
    return {"items": [{k: v for k, v in event.items() if k not in hidden} for event in events], "next": None}


@router.post("/models/{name}/watch", summary="Look at a model now", responses=documented(NotFoundError))
def look_now(name: ModelName, who: Annotated[Caller, Depends(Needs("deployments:write"))]) -> dict[str, Any]:
    """Evaluate the watch rules of the serving version and carry out what they say, as every six hours."""
    _check_model(who, name)
    look = watch.evaluate_model(who.hub, who.tenant, name, who.now)
    if look is None:
        return {"model": name, "state": "not deployed", "actions": [], "notes": []}
    return look.to_dict()


def _check_model(who: Caller, name: str) -> None:
    with read(who.hub.engine, tenant=who.tenant) as connection:
        if model_rows.has_model(connection, tenant=who.tenant, name=name):
            return
        # Only who mistyped a name pays for all of them.
        known = model_rows.list_models(connection, tenant=who.tenant)
    raise NotFoundError("model", name, known)
