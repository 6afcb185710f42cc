"""API keys of the form `hub_<id>_<secret>`, of which only the SHA-256 is kept. Pure.

A secret of 256 random bits cannot be guessed from its hash, so that a slow password hash would only cost time: argon2
takes a third of a second and 64 MiB a request.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aihub.types import iso

if TYPE_CHECKING:
    from datetime import datetime

PREFIX = "hub_"
SHORT_LIVED = timedelta(hours=1)
"""A key that ends by itself within this is short-lived: a workflow run gets one of its own."""
_TOKEN = re.compile(r"hub_([0-9a-f]{16})_[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What is known of a key: everything but its secret."""

    id: str
    tenant_id: str
    principal: str
    role: str
    scopes: list[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    @property
    def is_short_lived(self) -> bool:
        """Whether it ends by itself soon after it was made."""
        return self.expires_at is not None and self.expires_at - self.created_at <= SHORT_LIVED

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return what clients see."""
        times = ("created_at", "expires_at", "last_used_at", "revoked_at")
        shown = {
            name: iso(value) if name in times and value is not None else value
            for name, value in vars(self).items()
        }
        return {**shown, "state": self.state(now)}


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key at the only moment at which its secret is known."""

    key: ApiKey
    token: str = field(repr=False)


def new_token() -> str:
    """Make a key that nobody can guess."""
    return f"{PREFIX}{secrets.token_hex(8)}_{secrets.token_urlsafe(32)}"


def id_of(token: str) -> str | None:
    """Return the public part of a key; None for what is not of a key's form."""
    found = _TOKEN.match(token)
    return None if found is None else found[1]


def hash_of(token: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(token.encode()).hexdigest()
