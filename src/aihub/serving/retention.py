"""Deleting what the log may no longer keep; windows of monitoring stay."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from aihub.errors import AIHubError
from aihub.serving.rules import rules_of
from aihub.store import served
from aihub.store.engine import EVERY_TENANT, read

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from aihub.monitoring.observations import Observations


log = structlog.get_logger("aihub.serving")


def forget_old(engine: Engine, observations: Observations, now: datetime) -> int:
    """Delete the logged predictions that are older than their model's `keep_days`; return the chunks that went.

    What counts is the rule of the version that serves; where several environments differ, the shortest. A rule that
    cannot be read deletes nothing and is logged. Idempotent.

    Raises
    ------
    UnavailableError
        The database does not answer.
    """
    with read(engine, tenant=EVERY_TENANT) as connection:
        rows = served.champions(connection)
    days: dict[tuple[str, str], int] = {}
    for row in rows:
        try:
            kept = rules_of(row["spec"]).log.keep_days
        except AIHubError as error:
            # Nothing of this model is deleted by a rule that cannot be read; those of others hold.
            log.warning(
                "serving.spec_unreadable", tenant=row["tenant_id"], model=row["model"], error=str(error)[:500]
            )
            continue
        if kept is not None:
            key = (row["tenant_id"], row["model"])
            days[key] = min(kept, days.get(key, kept))
    return sum(
        observations.forget(tenant, model, before=now - timedelta(days=kept))
        for (tenant, model), kept in days.items()
    )
