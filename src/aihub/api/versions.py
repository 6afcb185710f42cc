"""`/models/{name}/versions`: trained artefacts, with report, lineage and the artefact itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from aihub.api.bodies import JsonRoute
from aihub.api.conditional import matches, tagged
from aihub.api.context import Caller, ModelsReader
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import SHA256, documented
from aihub.api.views import LineageView, ModelName, Reference, VersionView
from aihub.errors import ArtifactError, NotFoundError
from aihub.registry.queries import Queries
from aihub.registry.validations import has_report
from aihub.store import models as model_rows

if TYPE_CHECKING:
    from aihub.registry.records import Version

router = APIRouter(route_class=JsonRoute, tags=["versions"])
KIND = "versions"
_BINARY = {"application/vnd.aihub.artifact+zip": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/models/{name}/versions", summary="List the versions", responses=documented(NotFoundError))
def list_versions(
    name: ModelName, who: ModelsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[VersionView]:
    """Versions of a model, newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = Queries(connection, who.tenant).page_of_versions(name, before=before, limit=limit + 1)
    page, following = cut(KIND, rows, limit, lambda version: version.number)
    return Page(items=[VersionView.of(version) for version in page], next=following)


@router.get(
    "/models/{name}/versions/{reference}",
    summary="Look at a version",
    response_model=VersionView,
    responses=documented(NotFoundError),
)
def show_version(request: Request, name: ModelName, reference: Reference, who: ModelsReader) -> Response:
    """One version, by its number, `v1.2.3` or git commit."""
    return tagged(request, VersionView.of(_found(who, name, reference)))


@router.get(
    "/models/{name}/versions/{reference}/report",
    summary="Read the gate's report",
    response_model=dict[str, Any],
    responses=documented(NotFoundError),
)
def show_report(
    request: Request,
    name: ModelName,
    reference: Reference,
    who: ModelsReader,
    digest: Annotated[
        str | None,
        Query(pattern=SHA256, description="Of one of its validations; empty: what decided its state."),
    ] = None,
) -> Response:
    """Report of the gate as JSON; its schema is `schemas/validation-report.schema.json`."""
    with who.reading() as connection:
        version = Queries(connection, who.tenant).resolve(name, reference)
        wanted = digest or version.report_digest
        if wanted is None or not has_report(connection, version, wanted, tenant=who.tenant):
            raise NotFoundError("report of version", str(version))
        etag = f'"{wanted}"'
        if matches(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        body = model_rows.report_body(connection, tenant=who.tenant, digest=wanted)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")


@router.get(
    "/models/{name}/versions/{reference}/lineage",
    summary="Read where a version comes from",
    response_model=LineageView,
    responses=documented(NotFoundError),
)
def show_lineage(request: Request, name: ModelName, reference: Reference, who: ModelsReader) -> Response:
    """Return data, code, configuration and environment of a version."""
    lineage = _found(who, name, reference).lineage.to_dict()
    return tagged(request, LineageView.model_validate(lineage))


@router.get(
    "/models/{name}/versions/{reference}/artifact",
    summary="Download the artefact",
    response_class=FileResponse,
    responses={
        200: {"content": _BINARY, "description": "The artefact; its SHA-256 is the version's digest"},
        304: {"description": "The client has it"},
        **documented(NotFoundError, ArtifactError),
    },
)
def download_artifact(request: Request, name: ModelName, reference: Reference, who: ModelsReader) -> Response:
    """Send the artefact as one file, checked against its digest before the first byte is sent."""
    version = _found(who, name, reference)
    headers = {"ETag": f'"{version.digest}"', "Cache-Control": "private, no-cache"}
    if matches(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    who.registry.artifacts.verify(version.digest)
    filename = re.sub(r"[^a-z0-9._-]", "_", f"{version.model}-{version.semantic}.aihub")
    return FileResponse(
        who.registry.artifact_path(version),
        media_type="application/vnd.aihub.artifact+zip",
        filename=filename,
        headers=headers,
    )


def _found(who: Caller, name: str, reference: str) -> Version:
    with who.reading() as connection:
        return Queries(connection, who.tenant).resolve(name, reference)
