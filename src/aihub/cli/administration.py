"""Keys, tenants and the audit log, as commands see them: of the hub AIHUB_URL, else of this machine's own database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from aihub.cli.options import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    Shown = Mapping[str, Any]
    """A key, a tenant or an event as the API shows it; times are ISO 8601."""


class Administration(Protocol):
    """What a person who runs a hub may ask of it."""

    def issue_key(
        self,
        *,
        tenant: str | None,
        principal: str,
        role: str,
        scopes: Sequence[str] | None,
        lives: timedelta | None,
    ) -> Shown:
        """Make a key; its secret is the field ``key``."""

    def keys(self, *, tenant: str | None) -> Iterable[Shown]:
        """Keys of a tenant; None: of every tenant that the caller may see."""

    def rotate_key(self, key_id: str, *, overlap: timedelta) -> Shown:
        """Make the successor of a key; its secret is the field ``key``."""

    def revoke_key(self, key_id: str, *, reason: str) -> Shown:
        """End a key."""

    def tenants(self) -> Iterable[Shown]:
        """Every tenant."""

    def tenant(self, name: str) -> Shown:
        """Return one tenant."""

    def create_tenant(self, name: str, *, rules: Shown) -> Shown:
        """Make a tenant."""

    def change_tenant(self, name: str, *, rules: Shown, is_active: bool | None, reason: str) -> Shown:
        """Set the whole of a tenant's rules, and whether its keys count; None: as before."""

    def events(
        self,
        *,
        tenant: str | None,
        actor: str | None,
        action: str | None,
        subject: str | None,
        start: datetime | None,
        end: datetime | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Shown]:
        """Events of the audit log, newest first."""

    def verdicts(
        self, *, tenant: str | None, marks: Mapping[str, Mapping[int, str]] | None = None
    ) -> Sequence[Shown]:
        """Whether the chain of a tenant, or every chain that the caller may see, is as it was written."""


@contextmanager
def administration() -> Iterator[Administration]:
    """Open the hub that the environment names, or the database of this machine."""
    if is_remote():
        from aihub.cli.administration_elsewhere import elsewhere

        with elsewhere() as hub:
            yield hub
    else:
        from aihub.cli.administration_here import here

        with here() as hub:
            yield hub
