"""Objects of the bucket that no row names: a process was killed between a file and its row.

Artefacts are named by versions, and by jobs that have not come to their version yet; data sets by their rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.delivery.job_records import JobState
from aihub.store.engine import EVERY_TENANT, read
from aihub.store.job_tables import datasets, job_steps, jobs
from aihub.store.tables import versions

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub

_OPEN = (JobState.QUEUED.value, JobState.RUNNING.value, JobState.WAITING.value)


def sweep(hub: Hub, now: datetime) -> int:
    """Put aside what no row has named for a week, delete what was put aside a week ago; returns how many objects.

    Idempotent, and safe beside uploads and other processes. Does nothing without a bucket.

    Raises
    ------
    ConfigError
        The bucket is another hub's.
    UnavailableError
        The bucket or the database does not answer.
    """
    engine = hub.engine
    moved = hub.artifacts.backing.sweep(lambda digests: named_artifacts(engine, digests), now)
    return moved + hub.dataset_backing.sweep(lambda digests: named_datasets(engine, digests), now)


def named_artifacts(engine: Engine, digests: list[str]) -> set[str]:
    """Return those of some digests that a version has, or a job has made and not registered yet."""
    known = sa.select(versions.c.digest).where(versions.c.digest.in_(digests))
    made, registered = job_steps.alias("made"), job_steps.alias("registered")
    is_registered = (
        sa.exists()
        .where(registered.c.job_id == made.c.job_id, registered.c.name == "register")
        .where(registered.c.state == "done")
    )
    under_way = (
        sa.select(made.c.output)
        .join(jobs, jobs.c.id == made.c.job_id)
        .where(jobs.c.state.in_(_OPEN), made.c.name == "validate", made.c.state == "done", ~is_registered)
    )
    with read(engine, tenant=EVERY_TENANT) as connection:
        found = set(connection.scalars(known))
        outputs = list(connection.scalars(under_way))
    return found | ({(output or {}).get("digest", "") for output in outputs} & set(digests))


def named_datasets(engine: Engine, digests: list[str]) -> set[str]:
    """Return those of some digests that are a tenant's data set."""
    with read(engine, tenant=EVERY_TENANT) as connection:
        return set(connection.scalars(sa.select(datasets.c.digest).where(datasets.c.digest.in_(digests))))
