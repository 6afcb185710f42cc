"""`Idempotency-Key`: the same key with the same request gets the same answer, and nothing happens twice.

The answer is written in the transaction of the change itself, so that there is no moment in which one exists without
the other. Two requests with one key at once wait for each other; a request that failed has left nothing and may be
repeated with its key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response

from aihub.errors import ConflictError
from aihub.store import idempotency
from aihub.store.engine import write

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
        status: int | Callable[[Any], int] = 200,
        headers: Callable[[Any], Mapping[str, str]] = lambda _: {},
        tenant: str | None = None,
        is_secret: bool = False,
    ) -> Response:
        """Do `work` in one transaction and answer with what it returns, or repeat the answer of the first time.

        Parameters
        ----------
        tenant
            Whose rows exist in the transaction, where not the caller's alone.
        is_secret
            The answer is shown once and not kept; a repeated request is told so.

        Raises
        ------
        ConflictError
            The key was used for another request.
        """
        claim = self._claim(who)
        with write(who.hub.engine, tenant=tenant or who.tenant) as connection:
            known = None if claim is None else idempotency.claim(connection, claim, now=who.now)
            if known is not None and is_secret:
                raise ConflictError(
                    "the first request with this Idempotency-Key was answered with a secret, which is shown once"
                )
            if known is not None:
                return _replayed(known)
            body = work(connection)
            text, extra = body.model_dump_json(), dict(headers(body))
            status = status if isinstance(status, int) else status(body)
            if claim is not None:
                kept = "" if is_secret else text
                given = idempotency.Answer(status=status, headers=extra, body=kept)
                idempotency.answer(connection, claim, given)
        return Response(text, status, headers=extra, media_type="application/json")

    def _claim(self, who: Caller) -> idempotency.Claim | None:
        if self.key is None:
            return None
        return idempotency.Claim(
            tenant=who.tenant,
            principal=who.identity.principal,
            key=self.key,
            request_sha256=self.request_sha256,
        )


def _replayed(known: idempotency.Answer) -> Response:
    headers = {**known.headers, REPLAYED: "true"}
    return Response(known.body, known.status, headers=headers, media_type="application/json")


async def _once(request: Request, key: Key = None) -> Once:
    digest = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode("utf-8", "replace"))
    digest.update(request.scope["query_string"] + b"\n")
    # A body that is streamed is not read here: its route names it by its own digest.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", "application/x-www-form-urlencoded") or kind.endswith("+json"):
        digest.update(await request.body())
    return Once(key, digest.hexdigest())


Posted = Annotated[Once, Depends(_once)]
