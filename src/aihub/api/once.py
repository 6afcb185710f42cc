"""`Idempotency-Key`: the same key with the same request gets the same answer, and nothing happens twice.

The answer is written in the transaction of the change itself, so that there is no moment in which one exists without
the other. Two requests with one key at once wait for each other; a request that failed has left nothing and may be
repeated with its key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Header, Request
from fastapi.responses import Response

from aihub.errors import ConflictError
from aihub.store.access_tables import idempotency
from aihub.store.engine import write
from aihub.store.models import insert_unless_there

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel
    from sqlalchemy.engine import Connection

    from aihub.api.context import Caller

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="Any text of your own, such as a UUID: a repeated request with it happens once.",
    ),
]
REPLAYED = "Idempotency-Replayed"


@dataclass(frozen=True)
class Once:
    """One POST and its key."""

    key: str | None
    request_sha256: str

    def of(self, digest: str) -> Once:
        """Return the same for a body that was streamed, which only now is known by its digest."""
        both = hashlib.sha256(f"{self.request_sha256} {digest}".encode()).hexdigest()
        return Once(self.key, both)

    def __call__(
        self,
        who: Caller,
        work: Callable[[Connection], BaseModel],
        *,
        status: int = 200,
        headers: Callable[[Any], Mapping[str, str]] = lambda _: {},
    ) -> Response:
        """Do `work` in one transaction and answer with what it returns, or repeat the answer of the first time.

        Raises
        ------
        ConflictError
            The key was used for another request.
        """
        with write(who.hub.engine, tenant=who.tenant) as connection:
            known = self._recall(connection, who)
            if known is not None:
                return known
            body = work(connection)
            text, extra = body.model_dump_json(), dict(headers(body))
            self._remember(connection, who, status, extra, text)
        return Response(text, status, headers=extra, media_type="application/json")

    def _recall(self, connection: Connection, who: Caller) -> Response | None:
        if self.key is None:
            return None
        row = {
            "tenant_id": who.tenant,
            "principal": who.identity.principal,
            "key": self.key,
            "request_sha256": self.request_sha256,
            "created_at": who.now,
        }
        # On PostgreSQL this waits for another transaction that holds the key; SQLite has one writer at a time.
        insert_unless_there(connection, idempotency, row)
        found = connection.execute(sa.select(idempotency).where(*self._mine(who))).mappings().one()
        if found["request_sha256"] != self.request_sha256:
            raise ConflictError("this Idempotency-Key was used for another request; use a new key")
        if found["status"] is None:
            return None
        headers = {**found["headers"], REPLAYED: "true"}
        return Response(found["body"], found["status"], headers=headers, media_type="application/json")

    def _remember(
        self, connection: Connection, who: Caller, status: int, headers: Mapping[str, str], body: str
    ) -> None:
        if self.key is not None:
            row = {"status": status, "headers": dict(headers), "body": body}
            connection.execute(sa.update(idempotency).where(*self._mine(who)).values(row))

    def _mine(self, who: Caller) -> tuple[sa.ColumnElement[bool], ...]:
        columns = idempotency.c
        return (
            columns.tenant_id == who.tenant,
            columns.principal == who.identity.principal,
            columns.key == self.key,
        )


async def _once(request: Request, key: Key = None) -> Once:
    digest = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode("utf-8", "replace"))
    digest.update(request.scope["query_string"] + b"\n")
    # A body that is streamed is not read here: its route names it by its own digest.
    if request.headers.get("content-type", "").startswith(("application/json", "application/x-www")):
        digest.update(await request.body())
    return Once(key, digest.hexdigest())


Posted = Annotated[Once, Depends(_once)]
