"""`/schedules`: jobs that recur."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from aihub.api.bodies import JsonRoute
from aihub.api.context import Caller, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import NAME, documented
from aihub.delivery import schedules
from aihub.delivery.schedules import ScheduleRequest
from aihub.errors import ConflictError, NotFoundError
from aihub.store.engine import write

if TYPE_CHECKING:
    from aihub.delivery.schedules import Schedule

router = APIRouter(route_class=JsonRoute, tags=["schedules"])
Reader = Annotated[Caller, Depends(Needs("jobs:read"))]
Writer = Annotated[Caller, Depends(Needs("jobs:write"))]
ScheduleId = Annotated[str, Path(pattern=NAME, description="Id of the schedule, or its name.")]
KIND = "schedules"


class ScheduleView(BaseModel):
    """A job that recurs."""

    id: str
    name: str
    cron: str
    time_zone: str
    job: dict[str, Any]
    created_by: str
    created_at: datetime
    is_active: bool
    next_at: datetime
    last_at: datetime | None
    last_job: str | None

    @classmethod
    def of(cls, schedule: Schedule) -> ScheduleView:
        """Render a schedule."""
        return cls.model_validate({**schedule.to_dict(), "id": schedule.uid})


class ActiveBody(BaseModel):
    """Whether it goes on."""

    model_config = ConfigDict(extra="forbid")

    is_active: bool


@router.get("/schedules", summary="List the schedules", responses=documented())
def list_schedules(who: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[ScheduleView]:
    """List the tenant's schedules, newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = schedules.list_page(connection, tenant=who.tenant, before=before, limit=limit + 1)
    page, following = cut(KIND, rows, limit, lambda schedule: schedule.id)
    return Page(items=[ScheduleView.of(schedule) for schedule in page], next=following)


@router.get("/schedules/{schedule_id}", summary="Look at a schedule", responses=documented(NotFoundError))
def show_schedule(schedule_id: ScheduleId, who: Reader) -> ScheduleView:
    """Look at one schedule: when it fires next, and which job it made last."""
    with who.reading() as connection:
        return ScheduleView.of(schedules.get(connection, schedule_id, tenant=who.tenant))


@router.post(
    "/schedules",
    status_code=201,
    summary="Make a schedule",
    response_model=ScheduleView,
    responses=documented(ConflictError, NotFoundError),
)
def create(body: ScheduleRequest, who: Writer, once: Posted) -> Response:
    """Submit a job whenever a cron expression says so, in a time zone."""
    who = who.acting_for(body.job.tenant_id)
    return once(
        who,
        lambda connection: ScheduleView.of(
            schedules.create(connection, body, identity=who.identity, now=who.now, audit=who.hub.audit)
        ),
        status=201,
        headers=lambda made: {"Location": f"/schedules/{made.id}"},
    )


@router.patch(
    "/schedules/{schedule_id}",
    summary="Pause a schedule, or let it go on",
    responses=documented(NotFoundError),
)
def change(schedule_id: ScheduleId, body: ActiveBody, who: Writer) -> ScheduleView:
    """Pause, or go on with the next time from now."""
    with write(who.hub.engine, tenant=who.tenant) as connection:
        return ScheduleView.of(
            schedules.set_active(
                connection,
                schedule_id,
                is_active=body.is_active,
                identity=who.identity,
                now=who.now,
                audit=who.hub.audit,
            )
        )


@router.delete(
    "/schedules/{schedule_id}",
    status_code=204,
    summary="End a schedule",
    response_class=Response,
    responses=documented(NotFoundError),
)
def delete(schedule_id: ScheduleId, who: Writer) -> Response:
    """End a schedule; the jobs that it has made go on."""
    with write(who.hub.engine, tenant=who.tenant) as connection:
        schedules.delete(connection, schedule_id, identity=who.identity, now=who.now, audit=who.hub.audit)
    return Response(status_code=204)
