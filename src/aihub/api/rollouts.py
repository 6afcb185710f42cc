"""`/models/{name}/rollouts`: versions that run beside the champion, and ending that by hand."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.bodies import JsonRoute
from aihub.api.context import Caller, ModelsReader, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import documented
from aihub.api.views import DeploymentView, ModelName, Uid
from aihub.delivery import rollouts
from aihub.errors import ArtifactError, ConflictError, NotFoundError
from aihub.registry.promotion import MAX_REASON
from aihub.registry.queries import Queries

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.rollouts import RolloutRecord

router = APIRouter(route_class=JsonRoute, tags=["rollouts"])
Deployer = Annotated[Caller, Depends(Needs("deployments:write"))]
KIND = "rollouts"


class RolloutView(BaseModel):
    """A version that runs beside the champion."""

    id: str
    model: str
    version: int
    semantic: str
    environment: str
    strategy: Literal["canary", "shadow"]
    state: str
    share: float = Field(description="Share of the requests that it answers; 0 for a shadow.")
    steps: list[float]
    actor: str
    reason: str
    started_at: datetime
    stepped_at: datetime
    ended_at: datetime | None
    outcome: str

    @classmethod
    def of(cls, found: RolloutRecord) -> RolloutView:
        """Render a rollout."""
        return cls.model_validate({**found.to_dict(), "id": found.uid})


class EndBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]


@router.get("/models/{name}/rollouts", summary="List the rollouts", responses=documented(NotFoundError))
def list_rollouts(
    name: ModelName, who: ModelsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[RolloutView]:
    """List canaries and shadows of a model, newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = rollouts.list_page(connection, tenant=who.tenant, model=name, before=before, limit=limit + 1)
        if not rows:
            Queries(connection, who.tenant).require_model(name)
    page, following = cut(KIND, rows, limit, lambda found: found.id)
    return Page(items=[RolloutView.of(found) for found in page], next=following)


@router.post(
    "/models/{name}/rollouts/{rollout_id}/promote",
    summary="Make the newcomer champion",
    response_model=DeploymentView,
    responses=documented(NotFoundError, ConflictError, ArtifactError),
)
def promote(name: ModelName, rollout_id: Uid, body: EndBody, who: Deployer, once: Posted) -> Response:
    """End the rollout with the newcomer as champion."""

    def work(connection: Connection) -> DeploymentView:
        _require(connection, who, name, rollout_id)
        done = rollouts.promote(
            connection,
            who.registry,
            rollout_id,
            actor=who.identity.principal,
            reason=body.reason,
            now=who.now,
        )
        return DeploymentView.of(done, who.now)

    return once(who, work)


@router.post(
    "/models/{name}/rollouts/{rollout_id}/stop",
    summary="End a rollout without the newcomer",
    response_model=RolloutView,
    responses=documented(NotFoundError, ConflictError),
)
def stop(name: ModelName, rollout_id: Uid, body: EndBody, who: Deployer, once: Posted) -> Response:
    """End the rollout; the champion answers everything again."""

    def work(connection: Connection) -> RolloutView:
        _require(connection, who, name, rollout_id)
        done = rollouts.stop(
            connection,
            who.registry,
            rollout_id,
            actor=who.identity.principal,
            reason=body.reason,
            now=who.now,
        )
        return RolloutView.of(done)

    return once(who, work)


def _require(connection: Connection, who: Caller, name: str, rollout_id: str) -> None:
    if rollouts.get(connection, rollout_id, tenant=who.tenant).model != name:
        raise NotFoundError(f"rollout of model {name!r} called", rollout_id)
