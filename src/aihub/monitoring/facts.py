"""What the watch rules are told of a serving version: read from windows, registry rows and the memories of its series."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aihub.monitoring import sums
from aihub.monitoring.drift import feature_drift
from aihub.monitoring.faults import LASTING, faults_in
from aihub.monitoring.folding import NAIVE
from aihub.monitoring.performance import hour_of
from aihub.monitoring.rules import Facts, Target
from aihub.monitoring.windows import EMPTY, Slice, Windows
from aihub.registry.promotion import previous_good
from aihub.registry.records import Action as DeploymentAction
from aihub.registry.records import Deployment, Status
from aihub.store import deployments as deployment_rows
from aihub.store import observations as rows_of
from aihub.store.engine import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.monitoring.observations import Observations
    from aihub.monitoring.watch_policy import WatchPolicy
    from aihub.types import FloatArray

NAIVE_BEFORE_H = 28 * 24
SILENT_H = 90 * 24
"""The newest prediction is looked for so far back."""
TARGET_H = 28 * 24
"""What a version did in the last four weeks that it served is what is expected of it."""
MAX_DAYS = 366
MIN_TARGET = 24
MIN_DAY = 6
"""A day with fewer actuals says nothing by itself."""


def history_of(connection: Connection, tenant: str, model: str, environment: str) -> list[Deployment]:
    """Deployments of a model, newest first."""
    rows = deployment_rows.select_deployments(connection, tenant=tenant, model=model, environment=environment)
    return [Deployment.from_row(row) for row in rows]


class _Gathering:
    """One look at one model."""

    def __init__(
        self,
        connection: Connection,
        observations: Observations,
        champion: Deployment,
        *,
        tenant: str,
        history: Sequence[Deployment],
        now: datetime,
    ) -> None:
        self.connection, self.observations = connection, observations
        self.champion, self.history, self.now = champion, history, now
        self.tenant, self.model = tenant, champion.model
        self.context = observations.contexts.of(self.tenant, self.model, champion.version)
        self.since = hour_of(champion.started_at)
        self.last = hour_of(now) + 1

    def facts(self, policy: WatchPolicy, *, has_canary: bool) -> Facts:
        lengths = sorted({rule.window_h for rule in policy.rules} | {168})
        by_length = {
            length: self._windows(max(self.since, self.last - length), self.last) for length in lengths
        }
        own = {length: self._of(found, self.champion.version) for length, found in by_length.items()}
        classes = self.context.classes
        drifted, target_drift = self._drift()
        daily, daily_naive = self._daily()
        target, no_target = self._target(lengths, target_drift)
        return Facts(
            version=self.champion.version,
            sequence=self.champion.sequence,
            deployed_at=self.champion.started_at,
            deployed_by_rollback=self.champion.action is DeploymentAction.ROLLBACK,
            promised=self._promised(),
            metrics={length: part.metrics(classes=classes) for length, part in own.items()},
            naive={length: _mae(self._of(found, NAIVE)) for length, found in by_length.items()},
            actuals={length: part.n for length, part in own.items()},
            naive_before=_mae(self._of(self._windows(self.since - NAIVE_BEFORE_H, self.since), NAIVE)),
            daily=daily,
            daily_naive=daily_naive,
            predictions=own[lengths[-1]].predictions,
            silent_h=self._silent(),
            drifted=drifted,
            faults=self._faults(),
            target=target,
            no_target=no_target,
            has_canary=has_canary,
        )

    def _promised(self) -> Mapping[str, float]:
        """Return what the champion has to keep: what validation measured, of the version whose gate let it through.

        One that an override let in past its gate promised nothing that anybody accepted: it is held to what the version
        before it promised.
        """
        if self.champion.status is Status.REJECTED:
            before = previous_good(self.history, self.champion)
            if before is not None:
                return self.observations.contexts.of(self.tenant, self.model, before.version).promised
        return self.context.promised

    def _windows(self, first: int, last: int) -> Windows:
        return Windows.read(self.connection, self.tenant, self.model, hours=(first, max(first + 1, last)))

    @staticmethod
    def _of(windows: Windows, version: int) -> Slice:
        found = windows.merged(windows.version, without=None)
        return found.get(version, EMPTY)

    def _daily(self) -> tuple[list[float], list[float]]:
        """Mean absolute error of each whole day since the deployment, and the seasonal-naive one."""
        first = max(self.since, self.last - MAX_DAYS * 24)
        versions = (self.champion.version, NAIVE)
        rows = rows_of.window_rows(
            self.connection,
            tenant=self.tenant,
            model=self.model,
            span="d",
            first=first,
            last=self.last - 24,
            versions=versions,
        )
        by_day: dict[tuple[int, int], FloatArray] = {}
        for row in rows:  # one a group
            one = np.frombuffer(row.sums)[[sums.AT["n"], sums.AT["abs_err"]]]
            key = (row.hour, row.version)
            by_day[key] = by_day.get(key, np.zeros(2)) + one
        error = {key: float(one[1] / one[0]) for key, one in by_day.items() if one[0] >= MIN_DAY}
        days = [hour for hour, version in error if version == self.champion.version]
        return [error[day, self.champion.version] for day in days], [
            error.get((day, NAIVE), math.nan) for day in days
        ]

    def _silent(self) -> float:
        rows = rows_of.window_rows(
            self.connection,
            tenant=self.tenant,
            model=self.model,
            span="h",
            first=self.last - SILENT_H,
            last=self.last,
            versions=[self.champion.version],
            newest=1,
        )
        return float(self.last - 1 - rows[0].hour) if rows else math.inf

    def _faults(self) -> list[str]:
        found = [f for f in faults_in(self.connection, self.tenant, self.model) if f.kind in LASTING]
        return [
            f"{fault.kind}{f' of series {fault.series!r}' if fault.series else ''}: {fault.detail}"
            for fault in found
        ]

    def _drift(self) -> tuple[list[str], bool | None]:
        """Return features that drifted for the champion, and whether they are drift for the target's training too."""
        first = max(self.since, self.last - 168)
        hours = (first, max(first + 1, self.last))
        found = feature_drift(
            self.connection, self.tenant, self.model, self.champion.version, hours=hours, context=self.context
        )
        drifted = [f"{r.column}: {r.effect:+.2g} {r.effect_unit}" for r in found.material]
        target = previous_good(self.history, self.champion)
        if not drifted or target is None:
            return drifted, None
        references = self.observations.contexts.of(self.tenant, self.model, target.version).references
        if not references:
            return drifted, None
        other = feature_drift(
            self.connection,
            self.tenant,
            self.model,
            self.champion.version,
            hours=hours,
            context=replace(self.context, references=references),
        )
        return drifted, other.detected

    def _target(self, lengths: Sequence[int], has_drift: bool | None) -> tuple[Target | None, str]:  # noqa: FBT001
        target = previous_good(self.history, self.champion)
        if target is None:
            return None, "there is no earlier good version to go back to"
        return Target(
            version=target.version, expected=self._expected(target, lengths), has_drift=has_drift
        ), ""

    def _expected(self, target: Deployment, lengths: Sequence[int]) -> Mapping[str, float]:
        """Return what may be expected of a version: on the same hours, else when it served last, else as promised."""
        context = self.observations.contexts.of(self.tenant, self.model, target.version)
        ended = self.last if target.ended_at is None else hour_of(target.ended_at) + 1
        # Also what it answers as a shadow.
        beside = self._windows(max(self.since, self.last - lengths[-1]), self.last)
        now = beside.merged([abs(version) for version in beside.version]).get(target.version, EMPTY)
        then = self._of(
            self._windows(max(hour_of(target.started_at), ended - TARGET_H), ended), target.version
        )
        measured = next((part for part in (now, then) if part.n >= MIN_TARGET), None)
        return context.promised if measured is None else measured.metrics(classes=context.classes)


def gathered(
    observations: Observations,
    tenant: str,
    history: Sequence[Deployment],
    policy: WatchPolicy,
    now: datetime,
    *,
    has_canary: bool = False,
) -> Facts | None:
    """Fold what waits, and gather what is known of the champion of `history` (newest first); None without a champion."""
    champion = next((d for d in history if d.is_champion), None)
    if champion is None:
        return None
    observations.fold(tenant, champion.model)
    with read(observations.engine, tenant=tenant) as connection:
        look = _Gathering(connection, observations, champion, tenant=tenant, history=history, now=now)
        return look.facts(policy, has_canary=has_canary)


def _mae(part: Slice) -> float:
    return sums.regression(part.row).metrics()["mae"]
