"""`/models/{name}/versions/{reference}/validations`: have the gate judge a version that is there already."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field

from aihub.api.bodies import JsonRoute
from aihub.api.context import Caller, ModelsReader, Needs
from aihub.api.jobs import Accepted
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import documented
from aihub.api.views import ModelName, Reference
from aihub.delivery import validation_requests as requests
from aihub.delivery.validation_requests import ValidationRequest
from aihub.errors import ConfigError, ConflictError, DataError, NotFoundError
from aihub.registry import validations
from aihub.registry.queries import Queries

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.registry.validations import Validation

router = APIRouter(route_class=JsonRoute, tags=["versions"])
Judge = Annotated[Caller, Depends(Needs("models:write"))]
KIND = "validations"
_PATH = "/models/{name}/versions/{reference}/validations"
_EXAMPLES: dict[str, Any] = {
    "judge only": {"value": {"dataset_id": "9f86d081884c7d65..."}},
    "judge with thresholds, then deliver": {
        "value": {
            "dataset_id": "9f86d081884c7d65...",
            "target": "load",
            "timestamp": "timestamp",
            "validation": {"thresholds": {"mae": {"max": 40.0}}},
            "environment": "production",
        }
    },
}


class ValidationView(BaseModel):
    """What the gate said of a version on a dataset."""

    job_id: str = Field(description="Job that validated.")
    artifact_digest: str = Field(description="SHA-256 of the artefact that was judged.")
    dataset_id: str = Field(description="Dataset that it was judged on: the SHA-256 of its bytes.")
    report_digest: str = Field(description="Report that names both; read it at `../report?digest=`.")
    passed: bool
    effect: Literal["accepted", "rejected", "lifted", "none"] = Field(
        description="What it did to the version; none: the report is kept beside the version's own."
    )
    validated_by: str
    reason: str = Field(description="Why an earlier rejection was lifted.")
    created_at: datetime

    @classmethod
    def of(cls, found: Validation) -> ValidationView:
        """Render a validation."""
        return cls.model_validate(found.to_dict())


@router.post(
    _PATH,
    status_code=201,
    summary="Validate a version",
    response_model=Accepted,
    responses=documented(NotFoundError, ConfigError, DataError, ConflictError),
)
def submit(
    name: ModelName,
    reference: Reference,
    body: Annotated[ValidationRequest, Body(openapi_examples=_EXAMPLES)],
    who: Judge,
    once: Posted,
) -> Response:
    """Write a job that judges the version's artefact on a dataset and, where an environment is named, brings it there.

    The job is watched, cancelled and repeated under `/ai/training/jobs`. A first report decides whether the version may be
    deployed. A later one that fails rejects it, unless production has had it; a rejection is lifted for admins only.
    """
    who.identity.require("jobs:write")

    def work(connection: Connection) -> Accepted:
        version = Queries(connection, who.tenant).resolve(name, reference)
        job = requests.submit(
            connection,
            body,
            version,
            identity=who.identity,
            now=who.now,
            audit=who.hub.audit,
            key=once.key,
        )
        return Accepted(job_id=job.uid, status=job.state.value)

    return once(who, work, status=201, headers=_location)


def _location(body: Accepted) -> dict[str, str]:
    return {"Location": f"/ai/training/jobs/{body.job_id}"}


@router.get(_PATH, summary="List the validations", responses=documented(NotFoundError))
def list_validations(
    name: ModelName, reference: Reference, who: ModelsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[ValidationView]:
    """List the validations of a version beside the one of its training, newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        version = Queries(connection, who.tenant).resolve(name, reference)
        rows = validations.list_page(connection, version, tenant=who.tenant, before=before, limit=limit + 1)
    page, following = cut(KIND, rows, limit, lambda found: found.id)
    return Page(items=[ValidationView.of(found) for found in page], next=following)
