"""Rows of one tenant as records, inside a transaction that the caller has opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.errors import NotFoundError
from aihub.registry.records import Deployment, Version
from aihub.registry.versioning import resolve
from aihub.store import deployments as deployment_rows
from aihub.store import models as model_rows
from aihub.store.tables import versions

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Connection


@dataclass(frozen=True)
class Queries:
    """What can be asked of the registry's tables; reads only."""

    connection: Connection
    tenant: str

    def models(self) -> list[str]:
        """Names of the models, sorted."""
        return model_rows.list_models(self.connection, tenant=self.tenant)

    def versions(self, model: str, *where: sa.ColumnElement[bool]) -> list[Version]:
        """Versions of `model`, oldest first."""
        rows = model_rows.select_versions(self.connection, tenant=self.tenant, model=model, where=where)
        return [Version.from_row(row) for row in rows]

    def resolve(self, model: str, reference: str | int) -> Version:
        """Return the version that a number, ``v1.2.3`` or a git commit means.

        Raises
        ------
        NotFoundError
            No such model or version.
        InputError
            The commit stands for several versions.
        """
        found = self.versions(model)
        if not found:
            raise NotFoundError("model", model, self.models())
        return resolve(reference, found, model=model)

    def version_by_uid(self, model: str, uid: str) -> Version:
        """Return the version that a row refers to."""
        return self.versions(model, versions.c.uid == uid)[0]

    def version_by_key(self, model: str, key: str | None) -> Version | None:
        """Return the version that was made with an idempotency key."""
        found = [] if key is None else self.versions(model, versions.c.idempotency_key == key)
        return found[0] if found else None

    def deployments(self, model: str, environment: str | None = None) -> list[Deployment]:
        """Deployments of `model`, newest first."""
        rows = deployment_rows.select_deployments(
            self.connection, tenant=self.tenant, model=model, environment=environment
        )
        return [Deployment.from_row(row) for row in rows]

    def deployment_by_key(self, model: str, key: str | None) -> Deployment | None:
        """Return the deployment that was made with an idempotency key."""
        if key is None:
            return None
        rows = deployment_rows.select_deployments(self.connection, tenant=self.tenant, model=model, key=key)
        return Deployment.from_row(rows[0]) if rows else None

    def serving(self, model: str, environment: str) -> Deployment | None:
        """Return the deployment of the champion."""
        rows = deployment_rows.select_deployments(
            self.connection, tenant=self.tenant, model=model, environment=environment, champion=True
        )
        return Deployment.from_row(rows[0]) if rows else None
