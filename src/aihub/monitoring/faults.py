"""What is wrong with a live stream, series by series."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.store import observations as rows_of
from aihub.types import iso

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

LASTING = ("stuck", "unit", "level", "clock", "shift", "sign")
"""Faults that last until the stream is as it was; gaps and spikes are over when they are seen."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of one series.

    Attributes
    ----------
    kind
        ``gap``, ``stuck``, ``spike``, ``clock``, ``shift``, ``unit``, ``level`` or ``sign``.
    since_us, at_us
        Begin and last sight, microseconds since 1970.
    """

    series: str
    kind: str
    since_us: int
    at_us: int
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        stamps = {"since": self.since_us, "at": self.at_us}
        times = {name: iso(datetime.fromtimestamp(us / 1e6, UTC)) for name, us in stamps.items()}
        return {"series": self.series, "kind": self.kind, **times, "detail": self.detail}


def faults_in(connection: Connection, tenant: str, model: str) -> list[Fault]:
    """Faults of the model's streams that have not ended."""
    return [
        Fault(series=row.name, kind=kind, since_us=since, at_us=row.state["last_us"], detail=detail)
        for row in rows_of.series(connection, tenant=tenant, model=model, faulty=True)
        for kind, (since, detail) in row.state["faults"].items()
    ]
