"""The papers of a model and of its versions: changelog, bill of materials, signatures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

import aihub
from aihub.api.bodies import JsonRoute
from aihub.api.conditional import tagged
from aihub.api.context import ModelsReader
from aihub.api.problems import documented
from aihub.api.views import ModelName, Reference
from aihub.errors import ArtifactError, NotFoundError
from aihub.registry.bom import MEDIA_TYPE, bill_of_materials
from aihub.registry.changelog import changelog
from aihub.registry.queries import Queries
from aihub.store import signatures as signature_rows

router = APIRouter(route_class=JsonRoute, tags=["versions"])
MARKDOWN = "text/markdown; charset=utf-8"


class SignatureView(BaseModel):
    """One signature over a version."""

    key_id: str = Field(description="SHA-256 of the public key.")
    signed_by: str
    signed_at: datetime
    envelope: dict[str, Any] = Field(description="DSSE envelope of the in-toto statement that was signed.")


class SignaturesView(BaseModel):
    """The signatures of a version, and whether one of a trusted key holds for it as it is now."""

    model: str
    version: int
    semantic: str
    holds: bool
    keys: list[str] = Field(description="Trusted keys whose signature holds.")
    reason: str = Field(description="Why none holds.")
    signatures: list[SignatureView]


@router.get(
    "/models/{name}/changelog",
    summary="Read the changelog of a model",
    response_class=Response,
    responses={
        200: {"content": {"text/markdown": {"schema": {"type": "string"}}}, "description": "Markdown"},
        **documented(NotFoundError),
    },
)
def show_changelog(request: Request, name: ModelName, who: ModelsReader) -> Response:
    """Write what changed with every version, what it brought, where it served and who decided; newest first."""
    with who.reading() as connection:
        known = Queries(connection, who.tenant)
        known.require_model(name)
        text = changelog(name, known.versions(name), known.deployments(name))
    return tagged(request, text.encode(), media_type=MARKDOWN)


@router.get(
    "/models/{name}/versions/{reference}/bom",
    summary="Read the bill of materials of a version",
    response_class=Response,
    responses={
        200: {
            "content": {"application/vnd.cyclonedx+json": {"schema": {"type": "object"}}},
            "description": "CycloneDX 1.6 with a model card",
        },
        **documented(NotFoundError, ArtifactError),
    },
)
def show_bill(request: Request, name: ModelName, reference: Reference, who: ModelsReader) -> Response:
    """Model and files with digests, training data by fingerprint, libraries by version, figures on the holdout."""
    with who.reading() as connection:
        version = Queries(connection, who.tenant).resolve(name, reference)
    artifact = who.registry.artifacts.get(version.digest)
    bill = bill_of_materials(version, artifact, tenant=who.tenant, hub_version=aihub.__version__)
    return tagged(request, orjson.dumps(bill), media_type=MEDIA_TYPE)


@router.get(
    "/models/{name}/versions/{reference}/signatures",
    summary="Check the signatures of a version",
    responses=documented(NotFoundError),
)
def show_signatures(name: ModelName, reference: Reference, who: ModelsReader) -> SignaturesView:
    """Check the version's row and every file of its artefact against what the keys that this hub trusts have signed."""
    with who.reading() as connection:
        version = Queries(connection, who.tenant).resolve(name, reference)
        rows = signature_rows.select(connection, tenant=who.tenant, version_uid=version.uid)
    try:
        keys, reason = who.registry.check_signature(version), ""
    except ArtifactError as error:
        keys, reason = [], str(error)
    return SignaturesView(
        model=version.model,
        version=version.number,
        semantic=str(version.semantic),
        holds=bool(keys),
        keys=keys,
        reason=reason,
        signatures=[SignatureView.model_validate(row) for row in rows],
    )
