"""What a role may do that works with the hub's tables on PostgreSQL and does not own them."""

from __future__ import annotations

import re

from aihub.errors import InputError
from aihub.store.engine import SCHEMA

_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")


def statements(role: str) -> list[str]:
    """Return what the owner of the tables runs once for `role`; new tables of later versions are included.

    Raises
    ------
    InputError
        The name would have to be quoted.
    """
    if not _ROLE.match(role):
        raise InputError(f"role {role[:80]!r} cannot be used; take lower-case letters, digits and '_'")
    rights = "SELECT, INSERT, UPDATE, DELETE"
    return [
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}",
        f"GRANT {rights} ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT {rights} ON TABLES TO {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT USAGE, SELECT ON SEQUENCES TO {role}",
        # Who can only add cannot tamper, by whatever statement.
        f"REVOKE UPDATE, DELETE ON {SCHEMA}.audit FROM {role}",
    ]
