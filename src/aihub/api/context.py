"""Who calls, and with what a route works: the credential is checked here, and every route says which scope it needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase

from aihub.auth import ANONYMOUS
from aihub.errors import InputError, did_you_mean
from aihub.exposure import refuse_cross_site
from aihub.store.engine import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant
    from sqlalchemy.engine import Connection

    from aihub.delivery.operations import LoadCheck
    from aihub.hub import Hub
    from aihub.limits import RateLimiter
    from aihub.registry.registry import Registry
    from aihub.types import Identity

SCHEME = "apiKey"
TENANT_HEADER = "X-AIHub-Tenant"


class Access(Protocol):
    """Knows who is calling: `aihub.auth.Authenticator`."""

    def authenticate(self, token: str | None, now: datetime) -> Identity:
        """Return whom a bearer token stands for."""
        ...

    def remembered(self, token: str | None, tenant: str | None, now: datetime) -> Identity | None:
        """Return the same without waiting, in the tenant that a request names; None where it has to be looked up."""
        ...

    def remembered_by(self, digest: bytes, tenant: str | None, now: datetime) -> Identity | None:
        """Return the same for `aihub.auth.digest_of` a token."""
        ...

    def acting_in(
        self, identity: Identity, tenant: str | None, now: datetime, *, create: bool = False
    ) -> Identity:
        """Return the identity in the tenant that a request names."""
        ...

    def forget(self) -> None:
        """Look every credential up again, after a key or a tenant was changed."""
        ...


@dataclass(frozen=True)
class Caller:
    """The hub, who asks, and when: what nearly every route takes.

    Attributes
    ----------
    loads
        Tries out what a rollback goes to, and remembers it for the life of this process.
    """

    hub: Hub
    access: Access
    identity: Identity
    now: datetime
    loads: LoadCheck

    @property
    def tenant(self) -> str:
        """Tenant that is acted in."""
        return self.identity.tenant

    @property
    def registry(self) -> Registry:
        """Registry of the tenant."""
        return self.hub.registry_of(self.identity.tenant, self.identity.source)

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that only reads."""
        return read(self.hub.engine, tenant=self.tenant)

    def acting_for(self, tenant: str | None, *, create: bool = False) -> Caller:
        """Return the caller in the tenant that a body names; only operators may name another than their own.

        With `create` an operator who names a new tenant makes it.

        Raises
        ------
        NotFoundError
            There is no such tenant, or the credential is another's.
        """
        identity = self.access.acting_in(self.identity, tenant, self.now, create=create)
        return dataclasses.replace(self, identity=identity)


class Needs(SecurityBase):
    """Dependency of a route: a credential that has `scope`. A route without one, or `PUBLIC`, fails a test.

    With `makes_tenant` an operator who names a new tenant in the header makes it: what a job needs is sent before the job.
    """

    def __init__(self, scope: str, *, makes_tenant: bool = False) -> None:
        self.scope = scope
        self.makes_tenant = makes_tenant
        self.model = HTTPBearer(
            description="An API key of the hub, `hub_...`, or a token of GitHub Actions that the hub trusts."
        )
        self.scheme_name = SCHEME

    def __call__(self, request: Request) -> Caller:
        """Check the credential and its scope.

        Raises
        ------
        UnauthorizedError
            There is no credential, or it does not count.
        ForbiddenError
            It has not the scope, or names another tenant than its own.
        """
        now: datetime = request.app.state.clock()
        who = calling(request, now, makes_tenant_with=self.scope if self.makes_tenant else None)
        who.identity.require(self.scope)
        return who


def calling(request: Request, now: datetime, *, makes_tenant_with: str | None = None) -> Caller:
    """Return who the request's bearer token stands for, in the tenant that an operator may name in a header.

    Raises
    ------
    UnauthorizedError
        There is no credential that counts.
    ForbiddenError
        There is none, and another site's page made the browser ask.
    TooManyError
        The principal asks more often than the hub lets it.
    NotFoundError
        The tenant does not exist, or the credential is another's.
    """
    access: Access = request.app.state.access
    identity = access.authenticate(_token(request), now)
    if identity.principal == ANONYMOUS:
        refuse_cross_site(request.headers, request.headers.get("host", ""))
    limiter: RateLimiter = request.app.state.limiter
    limiter.take((identity.tenant, identity.principal))
    host = request.client.host if request.client else "unknown"
    # What the verifier says of the credential (the run of a workflow) stays.
    parts = ("api", host, request.scope.get("aihub.request_id", ""), identity.source)
    source = " ".join(part for part in parts if part)
    state = request.app.state
    who = Caller(state.hub, access, dataclasses.replace(identity, source=source), now, state.loads)
    return who.acting_for(
        request.headers.get(TENANT_HEADER) or None, create=makes_tenant_with in identity.scopes
    )


def still_counts(request: Request, who: Caller, scope: str) -> Callable[[], None]:
    """Return what asks again whether a request that lasts may go on; it raises what `Needs(scope)` would raise now."""
    token, clock = _token(request), request.app.state.clock

    def ask() -> None:
        now: datetime = clock()
        identity = who.access.acting_in(who.access.authenticate(token, now), who.tenant, now)
        identity.require(scope)

    return ask


def _token(request: Request) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse what a route does not take in its address: a filter with a slip in its name would let everything through.

    Raises
    ------
    InputError
        There is a parameter that the route does not know; names those that it does.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = sorted(set(_parameters(route.dependant)))
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        shown = unknown[:40]
        hint = did_you_mean(shown, known) if known else " This address takes none."
        raise InputError(f"no parameter {shown!r}.{hint}")


def _parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


class Public:
    """Dependency of a route that answers anybody, and so tells nothing worth knowing."""

    def __call__(self) -> None:
        """Let everybody in."""


PUBLIC = Depends(Public())


ModelsReader = Annotated[Caller, Depends(Needs("models:read"))]


def declared(app: FastAPI) -> Iterator[tuple[str, str, str | None]]:
    """Yield method, path and scope of every route (an empty scope for a public one, None for one that says nothing)."""
    for route in _flat(app.routes):
        dependant = getattr(route, "dependant", None)
        scope = None if dependant is None else _scope_of(dependant)
        for method in sorted(getattr(route, "methods", None) or {"ANY"}):
            yield method, str(getattr(route, "path", route)), scope


def _flat(routes: Any) -> Iterator[Any]:
    """Routes without the wrappers that newer versions of FastAPI put around an included router."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _flat(inner.routes)
        else:
            yield route


def _scope_of(dependant: Any) -> str | None:
    if isinstance(dependant.call, Needs):
        return dependant.call.scope
    if isinstance(dependant.call, Public):
        return ""
    found = (_scope_of(inner) for inner in dependant.dependencies)
    return next((scope for scope in found if scope is not None), None)
