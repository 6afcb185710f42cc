"""`/ai/training/jobs`: ask for a model, watch it come into being, stop it, ask again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from aihub.api.bodies import JsonRoute
from aihub.api.context import Caller, Needs, still_counts
from aihub.api.live import LiveResponse, live_log
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode, encode
from aihub.api.problems import documented
from aihub.api.views import NameFilter, Uid
from aihub.delivery import datasets, jobs
from aihub.delivery.jobs import JobRequest
from aihub.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from aihub.delivery.jobs import Extent, Job, JobStep, LogLine

router = APIRouter(route_class=JsonRoute, tags=["jobs"])
Reader = Annotated[Caller, Depends(Needs("jobs:read"))]
Writer = Annotated[Caller, Depends(Needs("jobs:write"))]
KIND, LOG_KIND = "jobs", "logs"
State = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]


class Accepted(BaseModel):
    """A job that was taken on."""

    job_id: str = Field(description="What the job is called.", examples=["job_5f0c..."])
    status: State


class JobView(BaseModel):
    """Work that was asked for."""

    job_id: str
    status: State
    tenant_id: str
    kind: str
    queue: str
    priority: str
    model: str | None
    request: dict[str, Any] = Field(description="What was asked for, defaults left out.")
    submitted_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    step: str | None = Field(description="Step that it is at.")
    progress: float = Field(
        description="Share of the whole that is done, each step counted alike.", ge=0, le=1
    )
    step_progress: float = Field(description="Share of the present step that is done.", ge=0, le=1)
    steps_done: int
    steps_total: int = Field(description="Steps that it takes, as far as that is known now.")
    attempts: int = Field(description="How often a worker has taken it.")
    gate_passed: bool | None
    result: dict[str, Any] | None = Field(description="Model, version, deployment, approval.")
    error: dict[str, Any] | None
    retry_of: str | None
    cancel_requested: bool

    @classmethod
    def of(cls, job: Job, extent: Extent) -> JobView:
        """Render a job."""
        return cls.model_validate(job.to_dict(extent))


class StepView(BaseModel):
    """One step of a job."""

    name: str
    status: Literal["running", "done", "failed", "skipped"]
    started_at: datetime
    finished_at: datetime | None
    duration_s: float | None
    note: str

    @classmethod
    def of(cls, step: JobStep) -> StepView:
        """Render a step."""
        return cls.model_validate(step.to_dict())


class JobDetails(JobView):
    """A job with its steps."""

    steps: list[StepView]


class LogLineView(BaseModel):
    """One line of a job's log."""

    id: int = Field(description="Grows; what a live stream is resumed from.")
    at: datetime
    level: str
    step: str
    message: str

    @classmethod
    def of(cls, line: LogLine) -> LogLineView:
        """Render a line."""
        return cls.model_validate(line.to_dict())


class Reason(BaseModel):
    """Why."""

    reason: str = Field(default="", max_length=4000, description="Goes into the audit log.")


@router.post(
    "/ai/training/jobs",
    status_code=201,
    summary="Ask for a model",
    response_model=Accepted,
    responses=documented(ConflictError, NotFoundError),
)
def submit(request: JobRequest, who: Writer, once: Posted) -> Response:
    """Write the job and its audit event in one transaction; a worker does the rest."""
    who = who.acting_for(request.tenant_id, create=True)

    def work(connection: Any) -> Accepted:
        if request.data is not None:
            data = request.data.model_dump(exclude_none=True)
            datasets.check(who.hub.settings, connection, data, tenant=who.tenant)
        job = jobs.submit(
            connection, request, identity=who.identity, now=who.now, audit=who.hub.audit, key=once.key
        )
        return Accepted(job_id=job.uid, status=job.state.value)

    return once(who, work, status=201, headers=_location)


def _location(body: Accepted) -> dict[str, str]:
    return {"Location": f"/ai/training/jobs/{body.job_id}"}


@router.get("/ai/training/jobs", summary="List the jobs", responses=documented())
def list_jobs(
    who: Reader,
    status: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    model: NameFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JobView]:
    """List the tenant's jobs, newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = jobs.list_page(
            connection, tenant=who.tenant, state=status, model=model, before=before, limit=limit + 1
        )
        page, following = cut(KIND, rows, limit, lambda job: job.id)
        extents = jobs.extents(connection, page)
    return Page(items=[JobView.of(*pair) for pair in zip(page, extents, strict=True)], next=following)


@router.get("/ai/training/jobs/{job_id}", summary="Look at a job", responses=documented(NotFoundError))
def show_job(job_id: Uid, who: Reader) -> JobDetails:
    """Look at one job: where it is, how far, how long each step took, and what came of it."""
    with who.reading() as connection:
        job = jobs.get(connection, job_id, tenant=who.tenant)
        (extent,) = jobs.extents(connection, [job])
        steps = [StepView.of(step) for step in jobs.steps(connection, job)]
    return JobDetails.model_validate({**job.to_dict(extent), "steps": steps})


@router.get(
    "/ai/training/jobs/{job_id}/logs",
    summary="Read a job's log",
    response_model=Page[LogLineView],
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "A page of lines; with `Accept: text/event-stream` every line as it is written, then `event: end`",
        },
        **documented(NotFoundError),
    },
)
def read_log(
    request: Request,
    job_id: Uid,
    who: Reader,
    limit: Limit = 500,
    cursor: Cursor = None,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^\d{1,18}$", description="Id of the last line that a live stream had.")
    ] = None,
) -> Response:
    """Read the lines so far in pages, or follow them live; a stream that broke is resumed with `Last-Event-ID`."""
    with who.reading() as connection:
        job = jobs.get(connection, job_id, tenant=who.tenant)
        if "text/event-stream" in request.headers.get("accept", ""):
            after = int(last_event_id or 0) or decode(LOG_KIND, cursor) or 0
            state = request.app.state
            may_go_on = still_counts(request, who, "jobs:read")
            stream = live_log(who, job, after=after, still_counts=may_go_on, is_stopping=state.is_stopping)
            return LiveResponse(stream, state.streams, who)
        lines = jobs.logs(connection, job, after=decode(LOG_KIND, cursor) or 0, limit=limit)
    # Also of the last page: more lines may come.
    is_over = job.state.is_over and len(lines) < limit
    following = encode(LOG_KIND, lines[-1].id) if lines and not is_over else cursor if not is_over else None
    page = Page[LogLineView](items=[LogLineView.of(line) for line in lines], next=following)
    return Response(page.model_dump_json(), media_type="application/json")


@router.post(
    "/ai/training/jobs/{job_id}/cancel",
    summary="Stop a job",
    response_model=JobView,
    responses=documented(NotFoundError, ConflictError),
)
def cancel(job_id: Uid, who: Writer, once: Posted, body: Reason | None = None) -> Response:
    """Stop a job: one that waits at once, one that runs within two seconds. Whatever it has not finished is not done."""

    def work(connection: Any) -> JobView:
        job = jobs.cancel(
            connection,
            job_id,
            identity=who.identity,
            now=who.now,
            audit=who.hub.audit,
            reason=body.reason if body else "",
        )
        return JobView.of(job, *jobs.extents(connection, [job]))

    return once(who, work)


@router.post(
    "/ai/training/jobs/{job_id}/retry",
    status_code=201,
    summary="Ask again",
    response_model=Accepted,
    responses=documented(NotFoundError, ConflictError),
)
def retry(job_id: Uid, who: Writer, once: Posted) -> Response:
    """Make a new job of a job that has ended, with the same request."""

    def work(connection: Any) -> Accepted:
        job = jobs.retry(
            connection, job_id, identity=who.identity, now=who.now, audit=who.hub.audit, key=once.key
        )
        return Accepted(job_id=job.uid, status=job.state.value)

    return once(who, work, status=201, headers=_location)
