"""`/tenants`: for those who run the hub."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.bodies import JsonRoute
from aihub.api.conditional import tagged
from aihub.api.context import Caller, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode_name
from aihub.api.problems import documented
from aihub.delivery.policy import TenantRules
from aihub.errors import ConflictError, NotFoundError
from aihub.store import tenants
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from aihub.store.tenants import Tenant

router = APIRouter(route_class=JsonRoute, tags=["tenants"])
Operator = Annotated[Caller, Depends(Needs("tenants:write"))]
PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
TenantId = Annotated[str, Path(pattern=PATTERN, description="Name of the tenant.")]
KIND = "tenants"


class TenantView(BaseModel):
    """A tenant and what it may do."""

    id: str
    created_by: str
    created_at: datetime
    rules: dict[str, Any] = Field(description="What differs from the defaults.")
    is_active: bool = Field(description="Whether its keys count.")

    @classmethod
    def of(cls, tenant: Tenant) -> TenantView:
        """Render a tenant."""
        return cls.model_validate({**tenant.to_dict(), "id": tenant.tenant_id})


class TenantBody(BaseModel):
    """A new tenant."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=PATTERN)]
    rules: TenantRules = Field(default_factory=TenantRules)


class ChangeBody(BaseModel):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    rules: TenantRules | None = None
    is_active: bool | None = None
    reason: str = Field(default="", max_length=4000, description="Goes into the audit log.")


@router.get("/tenants", summary="List the tenants", responses=documented())
def list_tenants(who: Operator, limit: Limit = 50, cursor: Cursor = None) -> Page[TenantView]:
    """List the tenants by their names."""
    after = decode_name(KIND, cursor) or ""
    with read(who.hub.engine, tenant=EVERY_TENANT) as connection:
        rows = tenants.list_page(connection, after=after, limit=limit + 1)
    page, following = cut(KIND, rows, limit, lambda tenant: tenant.tenant_id)
    return Page(items=[TenantView.of(tenant) for tenant in page], next=following)


@router.get(
    "/tenants/{tenant_id}",
    summary="Look at a tenant",
    response_model=TenantView,
    responses=documented(NotFoundError),
)
def show_tenant(request: Request, tenant_id: TenantId, who: Operator) -> Response:
    """Look at one tenant and its rules."""
    with read(who.hub.engine, tenant=EVERY_TENANT) as connection:
        return tagged(request, TenantView.of(tenants.get(connection, tenant_id)))


@router.post(
    "/tenants",
    status_code=201,
    summary="Make a tenant",
    response_model=TenantView,
    responses=documented(ConflictError),
)
def create(body: TenantBody, who: Operator, once: Posted) -> Response:
    """Make a tenant; its first key is made with `POST /keys` and the header `X-AIHub-Tenant`."""
    return once(
        who,
        lambda connection: TenantView.of(
            tenants.create(
                connection,
                body.id,
                rules=_rules(body.rules),
                actor=who.identity.principal,
                now=who.now,
                audit=who.hub.audit,
                source=who.identity.source,
            )
        ),
        status=201,
        tenant=EVERY_TENANT,
    )


@router.patch("/tenants/{tenant_id}", summary="Change a tenant", responses=documented(NotFoundError))
def change(tenant_id: TenantId, body: ChangeBody, who: Operator) -> TenantView:
    """Set the whole of a tenant's rules, or whether its keys count."""
    with write(who.hub.engine, tenant=EVERY_TENANT) as connection:
        changed = tenants.change(
            connection,
            tenant_id,
            rules=None if body.rules is None else _rules(body.rules),
            is_active=body.is_active,
            reason=body.reason,
            actor=who.identity.principal,
            now=who.now,
            audit=who.hub.audit,
            source=who.identity.source,
        )
    who.access.forget()
    return TenantView.of(changed)


def _rules(rules: TenantRules) -> dict[str, Any]:
    return rules.model_dump(mode="json", exclude_defaults=True)
