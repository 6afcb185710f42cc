"""`/ai/datasets`: tables that jobs are trained on, uploaded since a caller's files are not on the hub."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from aihub.api.bodies import JsonRoute
from aihub.api.border import LIMIT
from aihub.api.conditional import tagged
from aihub.api.context import Caller, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import SHA256, TEXT, documented
from aihub.delivery import datasets
from aihub.errors import ConflictError, DataError, NotFoundError

if TYPE_CHECKING:
    from aihub.delivery.datasets import Intake, Stored

router = APIRouter(route_class=JsonRoute, tags=["datasets"])
Uploader = Annotated[Caller, Depends(Needs("datasets:write", makes_tenant=True))]
Reader = Annotated[Caller, Depends(Needs("jobs:read"))]
DatasetId = Annotated[
    str, Path(pattern=SHA256, description="SHA-256 of the table, as the upload answered it.")
]
Label = Annotated[
    str,
    Query(
        max_length=datasets.MAX_NAME,
        pattern=TEXT,
        description="Name of the file, for people.",
        examples=["load.csv"],
    ),
]
ContentDigest = Annotated[
    str | None,
    Header(
        alias="X-Content-SHA256",
        pattern=SHA256,
        description="SHA-256 of the body; another one arrived: 422.",
    ),
]
KIND = "datasets"
PIECE_BYTES = 1 << 20
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The table itself: CSV, CSV in gzip, or Parquet; the content decides, not its type.",
        "content": {
            "text/csv": _BINARY,
            "application/gzip": _BINARY,
            "application/vnd.apache.parquet": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}


class DatasetView(BaseModel):
    """An uploaded table."""

    dataset_id: str = Field(description="What a job names under `data.dataset_id`; SHA-256 of the content.")
    name: str
    format: Literal["csv", "csv.gz", "parquet"]
    size_bytes: int
    rows: int
    columns: list[str]
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, found: datasets.Dataset) -> DatasetView:
        """Render a data set."""
        return cls.model_validate({**vars(found), "dataset_id": found.digest, "columns": [*found.columns]})


@router.post(
    "/ai/datasets",
    status_code=201,
    summary="Upload a table",
    response_model=DatasetView,
    openapi_extra=_BODY,
    responses=documented(DataError, ConflictError, also=[413]),
)
async def upload(
    request: Request,
    who: Uploader,
    once: Posted,
    name: Label = "table",
    digest: ContentDigest = None,
) -> Response:
    """Take a table in while checking it; the first wrong row ends the upload. The same content again is the same data set."""
    # The limit of the intake is the one that counts, and says so in its own words.
    request.scope[LIMIT] = (who.hub.settings.max_dataset_mb + 1) << 20
    with datasets.Intake(who.hub.settings, name or "table") as intake:
        stored = await _take(request, intake, digest)
        return await anyio.to_thread.run_sync(_recorded, who, once.of(stored.digest), stored, name)


async def _take(request: Request, intake: Intake, digest: str | None) -> Stored:
    """Hand the body on in pieces of a mebibyte, beside the event loop: looking at them takes the processor."""
    waiting = bytearray()
    async for piece in request.stream():
        waiting += piece
        if len(waiting) >= PIECE_BYTES:
            await anyio.to_thread.run_sync(intake.write, bytes(waiting))
            waiting.clear()
    await anyio.to_thread.run_sync(intake.write, bytes(waiting))
    return await anyio.to_thread.run_sync(intake.finish, digest)


def _recorded(who: Caller, once: Posted, stored: Stored, name: str) -> Response:
    # Every worker can have it before a row says that it is there.
    who.hub.dataset_backing.publish(stored.path, stored.digest)
    return once(
        who,
        lambda connection: DatasetView.of(
            datasets.record(
                connection,
                stored,
                tenant=who.tenant,
                name=name,
                actor=who.identity.principal,
                now=who.now,
                audit=who.hub.audit,
                source=who.identity.source,
            )
        ),
        status=201,
        headers=lambda body: {"Location": f"/ai/datasets/{body.dataset_id}"},
    )


@router.get("/ai/datasets", summary="List the tables", responses=documented())
def list_datasets(who: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page[DatasetView]:
    """List what was uploaded, newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = datasets.list_page(connection, tenant=who.tenant, before=before, limit=limit + 1)
    page, following = cut(KIND, rows, limit, lambda row: row[0])
    return Page(items=[DatasetView.of(found) for _, found in page], next=following)


@router.get(
    "/ai/datasets/{dataset_id}",
    summary="Look at a table",
    response_model=DatasetView,
    responses=documented(NotFoundError),
)
def show_dataset(request: Request, dataset_id: DatasetId, who: Reader) -> Response:
    """One uploaded table: format, size, rows and columns."""
    with who.reading() as connection:
        return tagged(request, DatasetView.of(datasets.get(connection, dataset_id, tenant=who.tenant)))
