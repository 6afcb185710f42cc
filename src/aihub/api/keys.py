"""`/keys`: credentials of a tenant; a secret is shown once, when it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from aihub.access import SCOPES
from aihub.api.bodies import JsonRoute
from aihub.api.context import Caller, Needs
from aihub.api.once import Posted
from aihub.api.pages import Cursor, Limit, Page, cut, decode_name
from aihub.api.problems import documented
from aihub.api.views import Instant
from aihub.errors import ConflictError, NotFoundError
from aihub.store import keys
from aihub.store.engine import EVERY_TENANT, write
from aihub.types import OPERATOR_TENANT, Role

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.store.credentials import ApiKey, NewKey

router = APIRouter(route_class=JsonRoute, tags=["keys"])
Admin = Annotated[Caller, Depends(Needs("keys:write"))]
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="The public part of `hub_<id>_<secret>`.")]
KIND = "keys"
Scope = Annotated[
    str, Field(pattern=r"^[a-z]+(:[a-z]+)?$", max_length=40, json_schema_extra={"enum": sorted(SCOPES)})
]


class KeyView(BaseModel):
    """A key without its secret."""

    id: str
    tenant_id: str
    principal: str
    role: Role
    scopes: list[str] | None = Field(description="Narrower than the role; null: all that the role may do.")
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    state: Literal["active", "expired", "revoked"]

    @classmethod
    def of(cls, key: ApiKey, now: datetime) -> KeyView:
        """Render a key."""
        return cls.model_validate(key.to_dict(now))


class NewKeyView(KeyView):
    """A key at the only moment at which its secret is shown."""

    token: str = Field(description="Send it as `Authorization: Bearer`; it is not shown again.")


class KeyBody(BaseModel):
    """For whom, and what it may do."""

    model_config = ConfigDict(extra="forbid")

    principal: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._:/+-]{0,127}$")] = Field(
        description="Person or program; two keys of one principal are one voice in an approval."
    )
    role: Role
    scopes: list[Scope] | None = Field(default=None, min_length=1, max_length=64)
    expires_at: Instant | None = None
    is_operator: bool = Field(
        default=False, description="A key of those who run the hub; only they may make one."
    )


class RotateBody(BaseModel):
    """How long the old key counts beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: int = Field(default=86_400, ge=0, le=90 * 86_400)


class RevokeBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=4000)


@router.get("/keys", summary="List the keys", responses=documented())
def list_keys(who: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[KeyView]:
    """List the tenant's keys by their ids, without their secrets."""
    after = decode_name(KIND, cursor) or ""
    with who.reading() as connection:
        rows = keys.list_page(connection, tenant=who.tenant, after=after, limit=limit + 1)
    page, following = cut(KIND, rows, limit, lambda key: key.id)
    return Page(items=[KeyView.of(key, who.now) for key in page], next=following)


@router.post(
    "/keys",
    status_code=201,
    summary="Make a key",
    response_model=NewKeyView,
    responses=documented(ConflictError, NotFoundError),
)
def create(body: KeyBody, who: Admin, once: Posted) -> Response:
    """Make a key, and show its secret this once. A principal has at most two that count."""

    def work(connection: Connection) -> NewKeyView:
        made = keys.issue(
            connection,
            tenant=OPERATOR_TENANT if body.is_operator else who.tenant,
            principal=body.principal,
            role=body.role,
            scopes=body.scopes,
            expires_at=body.expires_at,
            giver=who.identity,
            **_by(who),
        )
        return _shown(made, who)

    return once(who, work, status=201, tenant=_reach(who), is_secret=True)


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    summary="Replace a key",
    response_model=NewKeyView,
    responses=documented(ConflictError, NotFoundError),
)
def rotate(key_id: KeyId, who: Admin, once: Posted, body: RotateBody | None = None) -> Response:
    """Make a key's successor with the same rights; the old one counts until the overlap is over."""
    overlap = timedelta(seconds=(body or RotateBody()).overlap_s)
    return once(
        who,
        lambda connection: _shown(
            keys.rotate(
                connection, key_id, tenant=_owner(who), overlap=overlap, giver=who.identity, **_by(who)
            ),
            who,
        ),
        status=201,
        tenant=_reach(who),
        is_secret=True,
    )


@router.post(
    "/keys/{key_id}/revoke",
    summary="End a key",
    response_model=KeyView,
    responses=documented(NotFoundError),
)
def revoke(key_id: KeyId, who: Admin, once: Posted, body: RevokeBody | None = None) -> Response:
    """End a key at once; other processes notice within five seconds."""
    reason = body.reason if body else ""
    answer = once(
        who,
        lambda connection: KeyView.of(
            keys.revoke(connection, key_id, tenant=_owner(who), reason=reason, **_by(who)), who.now
        ),
        tenant=_reach(who),
    )
    who.access.forget()
    return answer


@router.delete(
    "/keys/{key_id}", summary="End a key", response_model=KeyView, responses=documented(NotFoundError)
)
def delete(key_id: KeyId, who: Admin) -> KeyView:
    """End a key at once, as `revoke` does; the row stays."""
    with write(who.hub.engine, tenant=_reach(who)) as connection:
        ended = keys.revoke(connection, key_id, tenant=_owner(who), **_by(who))
    who.access.forget()
    return KeyView.of(ended, who.now)


def _by(who: Caller) -> dict[str, Any]:
    return {
        "actor": who.identity.principal,
        "now": who.now,
        "audit": who.hub.audit,
        "source": who.identity.source,
    }


def _owner(who: Caller) -> str | None:
    """Tenant whose keys the caller may change; None: any."""
    return None if who.identity.is_operator else who.tenant


def _reach(who: Caller) -> str:
    return EVERY_TENANT if who.identity.is_operator else who.tenant


def _shown(made: NewKey, who: Caller) -> NewKeyView:
    return NewKeyView.model_validate({**made.key.to_dict(who.now), "token": made.token})
