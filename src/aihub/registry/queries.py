"""Rows of one tenant as records, inside a transaction that the caller has opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.errors import ConflictError, NotFoundError
from aihub.registry.promotion import previous_good
from aihub.registry.records import Deployment, Version
from aihub.registry.versioning import SemanticVersion, resolve
from aihub.store import deployments as deployment_rows
from aihub.store import models as model_rows
from aihub.store.tables import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection


_SHOWN = 50
"""Versions that a message about an unknown one is compared with."""


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
        found = self.versions(model, *_candidates(reference))
        if not found:
            # For the message only: a model may have very many versions.
            rows = model_rows.select_versions(self.connection, tenant=self.tenant, model=model, newest=_SHOWN)
            found = [Version.from_row(row) for row in rows]
        if not found:
            raise NotFoundError("model", model, self.models())
        return resolve(reference, found, model=model)

    def page_of_versions(self, model: str, *, before: int | None, limit: int) -> list[Version]:
        """Versions of `model` whose number is below `before`, newest first.

        Raises
        ------
        NotFoundError
            No such model.
        """
        where = () if before is None else (versions.c.number < before,)
        rows = model_rows.select_versions(
            self.connection, tenant=self.tenant, model=model, where=where, newest=limit
        )
        if not rows:
            self.require_model(model)
        return [Version.from_row(row) for row in rows]

    def require_model(self, model: str) -> None:
        """Refuse the name of a model that does not exist.

        Raises
        ------
        NotFoundError
            With the nearest name that does.
        """
        if not model_rows.page_of_models(self.connection, tenant=self.tenant, name=model):
            raise NotFoundError("model", model, self.models())

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

    def walk(self, model: str, environment: str) -> Iterator[Deployment]:
        """Deployments of `model` in an environment, newest first, read as far as they are looked at."""
        before, size = None, 1
        while True:
            rows = deployment_rows.select_deployments(
                self.connection,
                tenant=self.tenant,
                model=model,
                environment=environment,
                before=before,
                limit=size,
            )
            yield from map(Deployment.from_row, rows)
            if len(rows) < size:
                return
            # Most look at the newest few only.
            before, size = int(rows[-1]["id"]), min(size * 4, 1000)

    def deployment_by_key(self, model: str, key: str | None) -> Deployment | None:
        """Return the deployment that was made with an idempotency key."""
        if key is None:
            return None
        rows = deployment_rows.select_deployments(self.connection, tenant=self.tenant, model=model, key=key)
        return Deployment.from_row(rows[0]) if rows else None

    def target(
        self,
        model: str,
        reference: str | int | None,
        environment: str,
        champion: Deployment | None,
    ) -> Version:
        """Return the version that is meant; without a reference the one that a rollback goes to.

        Raises
        ------
        NotFoundError, InputError
            The reference means none, or several.
        ConflictError
            There is nothing to go back to.
        """
        if reference is not None:
            return self.resolve(model, reference)
        good = previous_good(self.walk(model, environment), champion)
        if good is None:
            message = (
                f"model {model!r} has no earlier good version to go back to; name a target or deploy one"
            )
            raise ConflictError(message)
        return self.version_by_uid(model, good.version_uid)

    def serving(self, model: str, environment: str) -> Deployment | None:
        """Return the deployment of the champion."""
        rows = deployment_rows.select_deployments(
            self.connection, tenant=self.tenant, model=model, environment=environment, champion=True
        )
        return Deployment.from_row(rows[0]) if rows else None


def _candidates(reference: str | int) -> list[sa.ColumnElement[bool]]:
    """Condition that every version fulfils which `reference` could mean, so that not all have to be read."""
    text = str(reference).strip()
    if re.fullmatch(r"v?\d{1,9}\.\d{1,9}\.\d{1,9}", text, re.ASCII):
        wanted = SemanticVersion.parse(text)
        columns = (versions.c.major, versions.c.minor, versions.c.patch)
        return [column == part for column, part in zip(columns, wanted, strict=True)]
    either = []
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        either.append(versions.c.number == int(text))
    if re.fullmatch(r"[0-9a-fA-F]{7,64}", text):
        either.append(versions.c.git_commit.startswith(text.lower()))
    return [sa.or_(*either)] if either else [sa.false()]
