"""`/models/{name}/deployments` and `/rollback`: what serves, since when, by whom and why; and changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.bodies import AnyTypeRoute, JsonRoute
from aihub.api.context import Caller, ModelsReader, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode
from aihub.api.problems import documented
from aihub.api.views import DeploymentView, Environment, ModelName
from aihub.errors import ArtifactError, ConflictError, NotFoundError
from aihub.registry.promotion import MAX_REASON, Order
from aihub.registry.queries import Queries
from aihub.registry.records import PRODUCTION, Action, Deployment
from aihub.store import deployments as deployment_rows

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

router = APIRouter(route_class=JsonRoute, tags=["deployments"])
# `curl -d '{...}'`, as the guide writes it, calls its body a form.
curled = APIRouter(route_class=AnyTypeRoute, tags=["deployments"])
Deployer = Annotated[Caller, Depends(Needs("deployments:write"))]
KIND = "deployments"
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
VersionText = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.]{1,64}$", description="Number, `v1.2.3` or git commit.")
]
VersionRef = Annotated[VersionText | Annotated[int, Field(ge=1, le=2**31 - 1)], Field()]
ReasonText = Annotated[str, Field(max_length=MAX_REASON)]
Sequence = Annotated[
    int | None,
    Field(
        ge=0,
        le=2**31 - 1,
        description="Sequence of the champion that the decision was made on (0: none); where another has come since: 409.",
    ),
]


class DeployBody(BaseModel):
    """Which version is to serve, and why."""

    model_config = ConfigDict(extra="forbid")

    version: VersionRef
    environment: Name = PRODUCTION
    reason: ReasonText = Field(min_length=1, description="Why; goes into the history and the audit log.")
    expected_sequence: Sequence = None


class RollbackBody(BaseModel):
    """Which version is to serve again; without one the last that served and was not itself taken back."""

    model_config = ConfigDict(extra="forbid")

    target_version: VersionRef | None = None
    environment: Name = PRODUCTION
    reason: ReasonText = Field(default="", description="Why; goes into the history and the audit log.")
    expected_sequence: Sequence = None


@router.get(
    "/models/{name}/deployments", summary="Read the history of a model", responses=documented(NotFoundError)
)
def list_deployments(
    name: ModelName,
    who: ModelsReader,
    environment: Environment = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeploymentView]:
    """List what served, from when to when, who put it there and why; newest first."""
    before = decode(KIND, cursor)
    with who.reading() as connection:
        rows = deployment_rows.select_deployments(
            connection,
            tenant=who.tenant,
            model=name,
            environment=environment,
            before=before,
            limit=limit + 1,
        )
        if not rows:
            Queries(connection, who.tenant).require_model(name)
    page, following = cut(KIND, rows, limit, lambda row: int(row["id"]))
    return Page(items=[DeploymentView.of(Deployment.from_row(row), who.now) for row in page], next=following)


@router.post(
    "/models/{name}/deployments",
    status_code=201,
    summary="Put a version into an environment",
    response_model=DeploymentView,
    responses=documented(NotFoundError, ConflictError, ArtifactError),
)
def deploy(name: ModelName, body: DeployBody, who: Deployer, once: Posted) -> Response:
    """Make a version the champion; the one before it ends in the same moment. Two at once: one wins, the other gets 409."""
    order = _order(who, Action.DEPLOY, body.environment, body.reason, body.expected_sequence)
    return once(who, lambda connection: _done(who, connection, name, body.version, order), status=201)


@curled.post(
    "/models/{name}/rollback",
    summary="Go back to an earlier version",
    response_model=DeploymentView,
    responses=documented(NotFoundError, ConflictError, ArtifactError, also=[415]),
)
def rollback(name: ModelName, who: Deployer, once: Posted, body: RollbackBody | None = None) -> Response:
    """Go back at once, without the gate; the target must have served here before. The body is read as JSON whatever its type says."""
    body = body or RollbackBody()
    reason = body.reason.strip() or "rolled back through the API"
    order = _order(who, Action.ROLLBACK, body.environment, reason, body.expected_sequence)
    return once(who, lambda connection: _done(who, connection, name, body.target_version, order))


def _order(who: Caller, action: Action, environment: str, reason: str, expected: int | None) -> Order:
    return Order(
        action=action,
        environment=environment,
        actor=who.identity.principal,
        reason=reason,
        now=who.now,
        key=None,
        expected_sequence=expected,
    )


def _done(who: Caller, connection: Connection, name: str, version: Any, order: Order) -> DeploymentView:
    done = who.registry.activate_in(connection, name, version, order)
    return DeploymentView.of(done, who.now)
