"""What champion and newcomer of a rollout did since its last step, from the windows of monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.delivery.strategy import Live
from aihub.monitoring import sums
from aihub.monitoring.facts import history_of
from aihub.monitoring.performance import hour_of
from aihub.monitoring.predictions import unheard
from aihub.monitoring.windows import EMPTY, Slice, Windows
from aihub.registry.records import PRODUCTION
from aihub.store.engine import read

if TYPE_CHECKING:
    from datetime import datetime

    from aihub.delivery.rollouts import RolloutRecord
    from aihub.hub import Hub


@dataclass(frozen=True)
class LiveFigures:
    """Answers for `aihub.delivery.due.run_due`; to the hour, since windows are hours of target time."""

    hub: Hub

    def __call__(self, rollout: RolloutRecord, now: datetime) -> tuple[Live, Live]:
        """Return figures of the champion and of the newcomer, in this order."""
        hub, tenant, model = self.hub, rollout.tenant, rollout.model
        with read(hub.engine, tenant=tenant) as connection:
            history = history_of(connection, tenant, model, rollout.environment)
        champion = next((d.version for d in history if d.is_champion), 0)
        hub.observations.fold(tenant, model)
        first = hour_of(rollout.progress.stepped_at)
        with read(hub.observations.engine, tenant=tenant) as connection:
            windows = Windows.read(connection, tenant, model, hours=(first, max(first, hour_of(now)) + 1))
        slices = windows.merged(windows.version)
        is_heard = rollout.environment == PRODUCTION
        by_newcomer = is_heard and rollout.progress.strategy.kind != "shadow"
        classes = hub.observations.contexts.of(tenant, model, rollout.version).classes
        both = (
            slices.get(version if answers else unheard(version), EMPTY)
            for version, answers in ((champion, is_heard), (rollout.version, by_newcomer))
        )
        one, other = (_live(part, classes=classes) for part in both)
        return one, other


def _live(part: Slice, *, classes: bool) -> Live:
    # Of an anomaly model less is better for what is missing to a perfect F1.
    error = 1.0 - part.metric("f1", classes=True) if classes else part.metric("mae", classes=False)
    return Live(
        requests=part.predictions,
        failures=int(sums.value(part.row, "unanswered")),
        observations=part.n,
        error=error,
    )
