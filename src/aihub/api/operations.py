"""`/health`, `/ready`, `/metrics`, and what describes the API itself."""

from __future__ import annotations

import html
import shutil
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from aihub.api.context import PUBLIC, Caller, Needs
from aihub.api.metrics import live_workers
from aihub.api.problems import documented
from aihub.errors import AIHubError
from aihub.settings import MIN_FREE_BYTES
from aihub.store import schema
from aihub.store.engine import EVERY_TENANT, read

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from aihub.hub import Hub
    from aihub.serving.pool import ServingPool

router = APIRouter(tags=["operations"])
DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One part that the hub needs."""

    name: str
    is_ok: bool
    detail: str = Field(default="", description="What was found, and what to do about it.")


class Readiness(BaseModel):
    """Whether requests can be served, and whether jobs will be worked on."""

    status: Literal["ready", "degraded", "unready"]
    checks: list[Check]


@router.get("/health", summary="Whether the process lives", dependencies=[PUBLIC])
def health() -> Health:
    """Answers while the process lives, whatever else is down: for a liveness probe."""
    return Health()


@router.get(
    "/ready",
    summary="Whether requests can be served",
    dependencies=[PUBLIC],
    responses={
        503: {"model": Readiness, "description": "The database is away, or its tables are not current"}
    },
)
def ready(request: Request, response: Response) -> Readiness:
    """Look at database, tables, workers and disk; 503 where requests cannot be served, `degraded` where something is amiss."""
    state = request.app.state
    found = readiness(state.hub, state.clock())
    if (pool := getattr(state, "pool", None)) is not None:
        found.checks.append(loading(pool))
    response.status_code = 503 if found.status == "unready" else 200
    return found


def readiness(hub: Hub, now: datetime) -> Readiness:
    """Look at database, tables of this version, workers that were seen lately, and room on the disk."""
    try:
        with read(hub.engine, tenant=EVERY_TENANT) as connection:
            revision = schema.current(connection)
            workers = live_workers(connection, now) if revision == schema.HEAD else 0
    except AIHubError:
        # Anybody may ask: where the database is, and why it fails, is in the log and in `aihub doctor`.
        check = Check(name="database", is_ok=False, detail="does not answer; run aihub doctor")
        return Readiness(status="unready", checks=[check])
    is_current = revision == schema.HEAD
    checks = [
        Check(name="database", is_ok=True),
        Check(
            name="tables",
            is_ok=is_current,
            detail="" if is_current else "of another version of the hub; restart the hub",
        ),
        Check(
            name="workers",
            is_ok=workers > 0,
            detail=f"{workers} seen" if workers else "none seen: jobs will wait; start aihub worker",
        ),
        room(hub.settings.home),
    ]
    if not is_current:
        return Readiness(status="unready", checks=checks)
    return Readiness(status="ready" if all(check.is_ok for check in checks) else "degraded", checks=checks)


def room(home: Path) -> Check:
    """Look at the room on the disk: what is deployed answers from memory where there is none, but nothing new is kept."""
    # The folder is made when there is something to put into it.
    there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    has_room = shutil.disk_usage(there).free >= MIN_FREE_BYTES
    detail = "" if has_room else "less than 1 GB is left; free space on the hub's disk"
    return Check(name="disk", is_ok=has_room, detail=detail)


def loading(pool: ServingPool) -> Check:
    """Tell how many models are still to come into memory; that makes nobody wait who asks for another, so it is no fault."""
    pending, total = len(pool.pending), len(pool.deployed)
    detail = (
        f"{pending} of {total} still load; what is asked for comes first" if pending else f"{total} deployed"
    )
    return Check(name="models", is_ok=True, detail=detail)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics as text"},
        **documented(),
    },
)
def metrics(request: Request, who: Annotated[Caller, Depends(Needs("metrics:read"))]) -> Response:
    """Return requests and latencies of this process; jobs, approvals, outbox and workers of the hub; models of the caller's tenant.

    The key of an operator sees the models of every tenant.
    """
    tenant = None if who.identity.is_operator else who.tenant
    body = request.app.state.metrics.scrape(who.hub.engine, who.now, tenant=tenant)
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False, dependencies=[PUBLIC])
def docs(request: Request) -> Response:
    """List the addresses; one page without scripts, nothing is loaded from elsewhere."""
    document = request.app.openapi()
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('summary', ''))}</td><td><code>{html.escape(operation.get('x-scope', ''))}</code></td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>AI Hub</title><style>{_STYLE}</style>"
        f"<h1>AI Hub {html.escape(document['info']['version'])}</h1>"
        "<p>The whole description is in <a href=/openapi.json>/openapi.json</a>.</p>"
        f"<table><tr><th>method<th>address<th>what it does<th>scope</tr>{rows}</table>"
    )
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": DOCS_POLICY})


@router.get("/openapi.json", include_in_schema=False, dependencies=[PUBLIC])
def openapi(request: Request) -> Response:
    """Return the description of the API."""
    return Response(request.app.state.openapi_json(), media_type="application/json")


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}"
    "td,th{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}a{color:#9cf}}"
)
