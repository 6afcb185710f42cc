"""Who acts when a command changes the hub's own database: the user of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from getpass import getuser
from socket import gethostname
from typing import Any


def acting() -> dict[str, Any]:
    """Return actor, time and source, as functions of the store take them."""
    return {"actor": getuser(), "now": datetime.now(UTC), "source": f"cli {gethostname()}"}
