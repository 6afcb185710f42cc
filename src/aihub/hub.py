"""The composition root: settings in, a wired hub out. Nothing else in the project builds these parts."""

from __future__ import annotations

import hmac
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from aihub.settings import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Engine

    from aihub.monitoring.observations import Observations
    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.backing import Backing
    from aihub.registry.registry import Registry
    from aihub.registry.signing import Signing
    from aihub.serving.pool import ServingPool
    from aihub.settings import Settings
    from aihub.store.audit import AuditLog


@dataclass(frozen=True)
class Hub:
    """The parts of one hub, wired."""

    settings: Settings
    engine: Engine
    audit: AuditLog
    artifacts: ArtifactStore
    signing: Signing
    monitoring_engine: Engine

    @property
    def registry(self) -> Registry:
        """Registry of the default tenant."""
        return self.registry_of(DEFAULT_TENANT)

    def registry_of(self, tenant: str, source: str = "") -> Registry:
        """Return the registry of one tenant; `source` says in its audit events where changes come from."""
        from aihub.registry.registry import Registry

        return Registry(self.engine, self.artifacts, self.audit, tenant, source, self.signing)

    @cached_property
    def dataset_backing(self) -> Backing:
        """What makes other machines see the data sets that were uploaded to this one."""
        from aihub.registry.backing import backing_of

        return backing_of(self.settings, "datasets")

    @cached_property
    def observations(self) -> Observations:
        """Predictions and actuals; the tables are made when they are first asked for."""
        from aihub.monitoring.observations import Observations
        from aihub.monitoring.versions import RegistryContexts
        from aihub.store import schema

        if self.monitoring_engine is not self.engine:
            schema.upgrade(self.monitoring_engine)
        return Observations(self.monitoring_engine, RegistryContexts(self.engine, self.artifacts))

    def serving_pool(
        self,
        *,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> ServingPool:
        """Return what serves the deployed models of this hub, not started; a process has one.

        `on_error` is told of failures beside requests; by default they are logged.
        """
        import structlog

        from aihub.registry.sandbox import Limits
        from aihub.serving.actuals import RecentActuals
        from aihub.serving.log import PredictionLog
        from aihub.serving.pool import ServingPool

        log = structlog.get_logger("aihub.serving")
        on_error = on_error or (lambda error: log.warning("serving.failed", error=str(error)[:1000]))
        limits = Limits(
            timeout_s=self.settings.load_timeout_s, memory_bytes=self.settings.sandbox_memory_mb << 20
        )
        return ServingPool(
            self.engine,
            self.artifacts,
            # Folding what is logged into windows is the worker's; without one it is done here, seldom and in bulk.
            PredictionLog(
                replace(self.observations, fold_rows=200_000, fold_ms=60_000).ingest_predictions,
                on_error=on_error,
            ),
            folder=self.settings.home / "serving",
            # Derived: who sees hashes of columns must not come nearer to the key of the audit log.
            key=hmac.digest(self.settings.read_audit_key(), b"aihub.serving.columns", "sha256"),
            limits=limits,
            history_of=RecentActuals(self.monitoring_engine),
            check=self._check_signature,
            on_error=on_error,
        )

    def _check_signature(self, tenant: str, model: str, environment: str, number: int, digest: str) -> None:
        """Refuse to load what no trusted key has signed as it is now, where the environment asks for that."""
        from aihub.errors import ArtifactError

        if environment not in self.signing.required:
            return
        registry = self.registry_of(tenant)
        version = registry.version(model, number)
        if version.digest != digest:
            raise ArtifactError(
                f"{version} has another artefact than the one that was deployed; look who changed it"
            )
        registry.check_signature(version)


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Hub]:
    """Open the hub that `settings` (default: the environment) describe, bring its tables up to date, close it at the end.

    Raises
    ------
    ConfigError
        A setting cannot be used.
    UnavailableError
        The database does not answer.
    """
    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.backing import backing_of
    from aihub.registry.signing import load_signing
    from aihub.settings import from_environment
    from aihub.store import engine as engines
    from aihub.store import schema
    from aihub.store.audit import AuditLog

    settings = settings or from_environment()
    engine = engines.create(settings.store_url, journal=settings.sqlite_journal)
    beside = engine
    if settings.monitoring_url != settings.store_url:
        beside = engines.create(settings.monitoring_url, journal=settings.sqlite_journal)
    try:
        schema.upgrade(engine)
        yield Hub(
            settings,
            engine,
            AuditLog(settings.read_audit_key(), settings.read_older_audit_keys()),
            ArtifactStore(settings.artifacts_dir, backing_of(settings, "artifacts")),
            load_signing(
                settings.signing_key_file, settings.trusted_keys_file, frozenset(settings.require_signature)
            ),
            beside,
        )
    finally:
        engine.dispose()
        beside.dispose()
