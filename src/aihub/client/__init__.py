"""The client of a hub: what the scripts and the command line are thin over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from aihub.client.access import Approvals, Audit, Keys, Tenants
from aihub.client.address import find, is_configured
from aihub.client.connection import Connection, Patience
from aihub.client.jobs import Datasets, Jobs, Schedules
from aihub.client.models import Models
from aihub.client.records import (
    Approval,
    AuditEvent,
    Dataset,
    Deployment,
    Job,
    Key,
    LogLine,
    Model,
    Outcome,
    Rollout,
    Schedule,
    Validation,
    Version,
)

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Approval",
    "AuditEvent",
    "Client",
    "Dataset",
    "Deployment",
    "Job",
    "Key",
    "LogLine",
    "Model",
    "Outcome",
    "Patience",
    "Rollout",
    "Schedule",
    "Validation",
    "Version",
    "is_configured",
]


class Client:
    """A hub to talk to, from one thread or several.

    A request that finds no hub, a busy one (503) or a limit (429) is repeated with patience; every POST carries an
    `Idempotency-Key`, so that it happens once however often it is sent. What the hub refuses is raised as the error
    that it is: see `aihub.errors`.

    Parameters
    ----------
    url
        Where the hub is; None: `AIHUB_URL`, else ``http://localhost:8000``.
    api_key
        None: `AIHUB_API_KEY`, else the content of the file `AIHUB_API_KEY_FILE`; empty: none.
    tenant
        Tenant to act in, for the keys of those who run the hub; None: `AIHUB_TENANT`, else that of the key.
    timeout_s
        Longest silence of the hub in a request.
    patience
        How long a request is repeated.
    allow_http
        Whether the key may go over plain http to another machine; None: whether `AIHUB_ALLOW_HTTP` is 1.

    Raises
    ------
    ConfigError
        The URL is none, the key cannot be read, or it would cross a network in the clear.

    Examples
    --------
    >>> with Client("http://localhost:8000", api_key="") as client:
    ...     client.url
    'http://localhost:8000'
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        tenant: str | None = None,
        timeout_s: float = 30.0,
        patience: Patience | None = None,
        allow_http: bool | None = None,
    ) -> None:
        address = find(url, api_key, tenant, allow_http=allow_http)
        self._connection = Connection(address, patience=patience or Patience(), timeout_s=timeout_s)
        self.url = address.url
        self.jobs = Jobs(self._connection)
        self.datasets = Datasets(self._connection)
        self.schedules = Schedules(self._connection)
        self.models = Models(self._connection)
        self.approvals = Approvals(self._connection)
        self.audit = Audit(self._connection)
        self.keys = Keys(self._connection)
        self.tenants = Tenants(self._connection)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ready(self) -> dict[str, Any]:
        """Return whether the hub can serve requests and work on jobs; needs no key.

        Raises
        ------
        UnavailableError
            It cannot, or there is none.
        """
        answer: dict[str, Any] = self._connection.get("/ready")
        return answer
