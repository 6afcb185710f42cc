"""`/auth/github`: a credential for a workflow that GitHub vouches for. `/github/webhooks`: what GitHub asks the hub."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.bodies import JsonRoute
from aihub.api.border import LIMIT
from aihub.api.context import PUBLIC
from aihub.api.problems import NAME, documented
from aihub.errors import InputError, UnauthorizedError, UnavailableError
from aihub.github.oidc import MAX_TOKEN_CHARS
from aihub.github.protection import MAX_BYTES, webhooks_of
from aihub.github.sessions import Keyless, keyless_of

router = APIRouter(route_class=JsonRoute, tags=["github"])


class Exchange(BaseModel):
    """The token of a job."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARS, description="GitHub's OIDC token.")]
    tenant: Annotated[str | None, Field(pattern=NAME, description="Where several trust the job.")] = None


class SessionView(BaseModel):
    """A credential for the job, shown once."""

    credential: str = Field(description="Send it as `Authorization: Bearer`.")
    tenant: str
    principal: str
    role: str
    scopes: list[str]
    expires_at: datetime


@router.post(
    "/auth/github",
    summary="Sign in as a job of GitHub Actions",
    dependencies=[PUBLIC],
    responses=documented(UnauthorizedError, UnavailableError),
)
def exchange(request: Request, body: Exchange) -> SessionView:
    """Give a job that matches a trust policy a credential of an hour. A token is good once."""
    host = request.client.host if request.client else "unknown"
    source = f"api {host} {request.scope.get('aihub.request_id', '')}".strip()
    now = request.app.state.clock()
    given = _keyless(request).exchange(body.token, now=now, tenant=body.tenant, source=source)
    return SessionView(
        credential=given.credential,
        tenant=given.tenant,
        principal=given.principal,
        role=given.role,
        scopes=sorted(given.scopes),
        expires_at=given.expires_at,
    )


class Taken(BaseModel):
    """What became of a webhook."""

    result: str = Field(
        description="`taken`, `known` (it was here before), `ignored`, `not trusted` or `pong`."
    )


@router.post(
    "/github/webhooks",
    summary="Take a webhook of GitHub",
    dependencies=[PUBLIC],
    responses=documented(UnauthorizedError, InputError),
)
async def take_webhook(request: Request) -> Taken:
    """Take GitHub's question whether a job may enter an environment; signed with the webhook's secret, good once."""
    request.scope[LIMIT] = min(request.scope.get(LIMIT, MAX_BYTES), MAX_BYTES)
    body = await request.body()
    state, headers = request.app.state, request.headers
    webhooks = webhooks_of(state.hub.settings, state.hub.engine, state.hub.audit)
    result = await run_in_threadpool(
        webhooks.take,
        body,
        signature=headers.get("x-hub-signature-256", ""),
        event=headers.get("x-github-event", ""),
        delivery=headers.get("x-github-delivery", ""),
        now=state.clock(),
    )
    return Taken(result=result)


def _keyless(request: Request) -> Keyless:
    """Return the application's one: it keeps GitHub's keys between requests."""
    state = request.app.state
    if not hasattr(state, "keyless"):
        hub = state.hub
        state.keyless = keyless_of(hub.settings, hub.engine, hub.audit)
    found: Keyless = state.keyless
    return found
