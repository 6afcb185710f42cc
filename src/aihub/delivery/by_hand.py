"""Registering and deploying directly in the store, by who runs the hub: no policy asks anybody, and the audit log says so.

The scripts of a workflow that has the store's address and no hub's work this way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery.mirror import Mirror
from aihub.delivery.progress import ignore
from aihub.errors import ConfigError
from aihub.registry.artifacts import ArtifactStore
from aihub.registry.intake import take_in, version_of
from aihub.registry.records import Status
from aihub.store.engine import read, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aihub.hub import Hub
    from aihub.registry.records import Deployment, Version

SOURCE = "script, directly in the store"


class Elsewhere(ArtifactStore):
    """The artefacts of a hub on another machine: they were checked when they came, and are again before they serve."""

    def verify(self, digest: str) -> None:
        """Check the copy that lies here; none is as good."""
        if self.path(digest).exists():
            super().verify(digest)


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """One tenant's part of a store, and whose hand it is.

    Raises
    ------
    ConfigError
        The audit key is not that of the store: what would be written would look like a forgery.
    """

    hub: Hub
    tenant: str
    actor: str

    def __post_init__(self) -> None:
        with read(self.hub.engine, tenant=self.tenant) as connection:
            if not self.hub.audit.holds_key(connection, tenant=self.tenant):
                raise ConfigError(
                    "the audit log of this store is written with another key; set AIHUB_AUDIT_KEY (or AIHUB_AUDIT_KEY_FILE) "
                    "to that of the hub, or talk to the hub itself with AIHUB_URL",
                    field="audit_key",
                )

    def register(
        self,
        path: Path,
        model: str,
        *,
        git_commit: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Version:
        """Take a model file in and make a version of it; a file that is a version already stays that one.

        Parameters
        ----------
        config
            What else is known of an external model, such as ``model_type`` and ``target``.

        Raises
        ------
        ArtifactError
            The file is damaged, holds what is not allowed, or cannot be served.
        """
        registry = self.hub.registry_of(self.tenant, SOURCE)
        now = datetime.now(UTC)
        taken = take_in(
            self.hub.artifacts,
            path,
            model=model,
            requested_by=self.actor,
            now=now,
            git_commit=git_commit,
            config=config,
        )
        with write(self.hub.engine, tenant=self.tenant) as connection:
            known = version_of(connection, self.tenant, model, taken.artifact.digest)
            return known or registry.register_in(
                connection,
                model,
                taken.artifact,
                taken.lineage,
                status=Status.CANDIDATE,
                actor=self.actor,
                now=now,
            )

    def find(self, model: str, reference: str) -> Version:
        """Return the version that a number, ``v1.2.3`` or a commit means; of several of one commit the newest that passed.

        Raises
        ------
        NotFoundError
            No such model or version.
        """
        registry = self.hub.registry_of(self.tenant, SOURCE)
        of_commit = [
            version
            for version in registry.versions(model)
            if version.git_commit == reference and version.status is Status.CANDIDATE
        ]
        return of_commit[-1] if of_commit else registry.version(model, reference)

    def deploy(self, version: Version, environment: str, *, reason: str) -> Deployment:
        """Make a version the champion of an environment. Idempotent.

        Raises
        ------
        ConflictError
            Its gate rejected it.
        """
        registry = self.hub.registry_of(self.tenant, SOURCE)
        registry = replace(registry, artifacts=Elsewhere(self.hub.artifacts.root, self.hub.artifacts.backing))
        return registry.deploy(
            version.model,
            version.number,
            actor=self.actor,
            reason=reason,
            now=datetime.now(UTC),
            environment=environment,
        )

    def mirror(self) -> None:
        """Tell MLflow, where there is one; it need not answer now."""
        Mirror.start(self.hub.settings, tenant=self.tenant).finish(ignore)
