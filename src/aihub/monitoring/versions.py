"""Contexts of versions from the registry's rows and artefacts, read once a version and kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import structlog

from aihub.errors import AIHubError
from aihub.monitoring.context import VersionContext
from aihub.monitoring.grid import FeatureGrid
from aihub.monitoring.timegrid import TimeGrid
from aihub.registry.stored import GateKnowledge
from aihub.store import deployments as deployment_rows
from aihub.store import models as model_rows
from aihub.store.engine import read
from aihub.store.tables import versions
from aihub.types import ModelType
from aihub.validation.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Engine

    from aihub.registry.artifacts import ArtifactStore

_KEPT = 256
"""Versions whose context is kept: an artefact's profile and references are some hundred kilobytes."""
_LATEST_S = 5.0
AGAIN_S = 10.0
"""When a version that could not be read whole is read again: the store may have been away for a moment."""

log = structlog.get_logger("aihub.monitoring")


@dataclass(frozen=True)
class RegistryContexts:
    """What is known of versions, from the registry; a version never changes, so neither does its context.

    One that could not be read whole is read again after `AGAIN_S`; until then it says in `missing` why, and so does the log.
    """

    engine: Engine
    artifacts: ArtifactStore
    _known: dict[tuple[str, str, int], tuple[VersionContext, float]] = field(default_factory=dict)
    _latest: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    def of(self, tenant: str, model: str, version: int) -> VersionContext:
        """Return what is known of a version; one that does not exist any more has a context of defaults."""
        key = (tenant, model, version)
        found, until = self._known.get(key, (None, 0.0))
        if found is None or time.monotonic() >= until:
            found = self._read(tenant, model, version)
            # Other threads do so too: what is looked up here may be gone a moment later.
            for oldest in list(self._known)[: len(self._known) + 1 - _KEPT]:
                self._known.pop(oldest, None)
            self._known[key] = (found, time.monotonic() + AGAIN_S if found.missing else math.inf)
        return found

    def latest(self, tenant: str, model: str) -> VersionContext:
        """Return what is known of the version that serves in production, or of the newest."""
        now = time.monotonic()
        seen, number = self._latest.get((tenant, model), (-_LATEST_S, 0))
        if now - seen >= _LATEST_S:
            with read(self.engine, tenant=tenant) as connection:
                serving = deployment_rows.select_deployments(
                    connection, tenant=tenant, model=model, environment="production", champion=True
                )
                rows = serving or model_rows.select_versions(connection, tenant=tenant, model=model)[-1:]
            number = int(rows[0]["number"]) if rows else 0
            self._latest[tenant, model] = (now, number)
        return self.of(tenant, model, number)

    def answering(self, tenant: str, model: str) -> frozenset[int]:
        """Versions whose answers were sent in production, also as a canary: not a shadow, nor what was only in staging."""
        with read(self.engine, tenant=tenant) as connection:
            return frozenset(deployment_rows.answering(connection, tenant=tenant, model=model))

    def _read(self, tenant: str, model: str, version: int) -> VersionContext:
        with read(self.engine, tenant=tenant) as connection:
            rows = model_rows.select_versions(
                connection, tenant=tenant, model=model, where=(versions.c.number == version,)
            )
        if not rows:
            # Number 0 stands for the version of a model that has none.
            return VersionContext(missing=f"there is no version {version}" if version else "")
        row, missing = rows[0], ""
        try:
            files = self.artifacts.get(row["digest"]).files
            knowledge, times = GateKnowledge.from_files(files), TimeGrid.from_files(files)
            data = knowledge.training_profile
            profile = None if data is None else Profile.from_bytes(data)
        except (AIHubError, OSError) as error:
            # A lost or damaged artefact stops a deployment, not the counting of what was predicted.
            knowledge, profile, times = GateKnowledge(), None, None
            missing = "the artefact cannot be read now, the hub's log says why"
            log.warning(
                "monitoring.context_missing",
                tenant=tenant,
                model=model,
                version=version,
                error=str(error)[:1000],
            )
        found = context_of(row["lineage"]["config"], row["metrics"], row["spec"] or {}, knowledge, profile)
        return replace(found, missing=missing, times=times)


def context_of(
    config: Mapping[str, Any],
    metrics: Mapping[str, float],
    spec: Mapping[str, Any],
    knowledge: GateKnowledge,
    profile: Profile | None,
) -> VersionContext:
    """Put together what is known of a version."""
    watch = (spec.get("policy") or {}).get("watch") or {}
    logged = (spec.get("serving") or {}).get("log") or {}
    hidden = {*(logged.get("hash_columns") or ()), *(logged.get("leave_out") or ())}
    return VersionContext(
        classes=config.get("model_type") == ModelType.ANOMALY,
        level=float(config.get("interval_level") or 0.9),
        target=str(config.get("target") or "actual"),
        series_column=str(config.get("series_id") or "series"),
        timestamp_column=str(config.get("timestamp") or "timestamp"),
        stamp_zone=str(config.get("timestamp_zone") or config.get("time_zone") or "UTC"),
        grid=FeatureGrid.of(profile).without(hidden),
        references=knowledge.drift_references,
        importance=knowledge.feature_importance,
        promised=dict(metrics),
        groups=watch.get("groups") or {},
        watch=watch,
        spec=spec,
    )
