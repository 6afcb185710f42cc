"""Jobs that recur: a cron expression in a time zone, and the request of each job.

However many processes look, every firing makes one job: its name follows from schedule and time. What was missed while no
process ran is made up for once, not once per missed time. Functions but `fire_due` take an open transaction and never commit.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic import Field

from aihub.delivery import cron, jobs
from aihub.delivery.requests import JobRequest
from aihub.errors import (
    AIHubError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TooManyError,
    UnavailableError,
)
from aihub.store import tenants
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.store.job_tables import schedules
from aihub.training.spec import ModelName  # noqa: TC001 - pydantic reads the annotation
from aihub.training.strict import StrictModel
from aihub.types import Identity, Role, iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from aihub.store.audit import AuditLog

PUT_OFF = timedelta(minutes=10)
"""For how long a schedule rests that broke in the hub's own code or cannot be read."""
_LOG = logging.getLogger(__name__)


class ScheduleRequest(StrictModel):
    """A job that is to recur."""

    name: ModelName = Field(description="Name of the schedule within the tenant.")
    cron: str = Field(max_length=128, description="Minute, hour, day, month, weekday: '0 2 * * 0'.")
    time_zone: str = Field("UTC", max_length=64, description="IANA zone in which the expression is meant.")
    job: JobRequest = Field(
        description="What is asked for each time; without data: the newest data set that fits."
    )

    def check_agreement(self) -> None:
        """Refuse what is never true and zones that are not there."""
        cron.check(self.cron, self.time_zone)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A job that recurs; `id` is for pages only, `uid` is what clients call it."""

    id: int
    uid: str
    tenant_id: str
    name: str
    cron: str
    time_zone: str
    payload: Mapping[str, Any]
    created_by: str
    created_at: datetime
    is_active: bool
    next_at: datetime
    last_at: datetime | None
    last_job: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {
            "schedule_id": self.uid,
            "tenant_id": self.tenant_id,
            "name": self.name,
            "cron": self.cron,
            "time_zone": self.time_zone,
            "job": dict(self.payload),
            "created_by": self.created_by,
            "created_at": iso(self.created_at),
            "is_active": self.is_active,
            "next_at": iso(self.next_at),
            "last_at": None if self.last_at is None else iso(self.last_at),
            "last_job": self.last_job,
        }


def create(
    connection: Connection, request: ScheduleRequest, *, identity: Identity, now: datetime, audit: AuditLog
) -> Schedule:
    """Write a schedule and its audit event.

    Raises
    ------
    ConflictError
        The tenant has a schedule of this name.
    """
    mine = (schedules.c.tenant_id == identity.tenant, schedules.c.name == request.name)
    if connection.execute(sa.select(schedules.c.id).where(*mine)).first():
        raise ConflictError(f"schedule {request.name!r} exists; delete it first, or give another name")
    row: dict[str, Any] = {
        "tenant_id": identity.tenant,
        "uid": f"sch_{uuid.uuid4().hex[:24]}",
        "name": request.name,
        "cron": request.cron,
        "time_zone": request.time_zone,
        "payload": request.job.to_dict(),
        "priority": int(request.job.rank),
        "created_by": identity.principal,
        "created_at": now,
        "is_active": True,
        "next_at": cron.next_after(request.cron, request.time_zone, now),
    }
    connection.execute(sa.insert(schedules).values(**row))
    made = get(connection, row["uid"], tenant=identity.tenant)
    _write_down(connection, audit, identity, "schedule.created", made, now=now)
    return made


def get(connection: Connection, uid: str, *, tenant: str) -> Schedule:
    """Return a schedule by `uid` or name.

    Raises
    ------
    NotFoundError
        The tenant has none.
    """
    named = (schedules.c.uid == uid) | (schedules.c.name == uid)
    query = sa.select(*_columns()).where(schedules.c.tenant_id == tenant, named)
    row = connection.execute(query.order_by(schedules.c.uid != uid).limit(1)).mappings().first()
    if row is None:
        raise NotFoundError("schedule", uid[:80])
    return Schedule(**row)


def list_page(
    connection: Connection, *, tenant: str, before: int | None = None, limit: int = 50
) -> list[Schedule]:
    """Schedules of a tenant, newest first; `before` is the `id` of the last one of the page before."""
    query = sa.select(*_columns()).where(schedules.c.tenant_id == tenant)
    if before is not None:
        query = query.where(schedules.c.id < before)
    rows = connection.execute(query.order_by(schedules.c.id.desc()).limit(limit)).mappings()
    return [Schedule(**row) for row in rows]


def set_active(
    connection: Connection, uid: str, *, is_active: bool, identity: Identity, now: datetime, audit: AuditLog
) -> Schedule:
    """Pause a schedule, or let it go on with its next time from now. Writes its audit event."""
    found = get(connection, uid, tenant=identity.tenant)
    if found.is_active == is_active:
        return found
    values: dict[str, Any] = {"is_active": is_active}
    if is_active:
        values["next_at"] = cron.next_after(found.cron, found.time_zone, now)
    connection.execute(sa.update(schedules).where(schedules.c.id == found.id).values(**values))
    action = "schedule.resumed" if is_active else "schedule.paused"
    _write_down(connection, audit, identity, action, found, now=now)
    return get(connection, found.uid, tenant=identity.tenant)


def delete(connection: Connection, uid: str, *, identity: Identity, now: datetime, audit: AuditLog) -> None:
    """Remove a schedule; its jobs stay. Writes its audit event."""
    found = get(connection, uid, tenant=identity.tenant)
    connection.execute(sa.delete(schedules).where(schedules.c.id == found.id))
    _write_down(connection, audit, identity, "schedule.deleted", found, now=now)


def fire_due(engine: Engine, *, now: datetime, audit: AuditLog, limit: int = 100) -> list[str]:
    """Submit the jobs whose time has come; each schedule in a transaction of its own. Returns the jobs.

    A schedule that breaks is put off, so that it holds up none of the others.

    Raises
    ------
    UnavailableError
        The database does not answer.
    """
    query = sa.select(schedules.c.id).where(*_is_due(now)).order_by(schedules.c.next_at).limit(limit)
    with read(engine, tenant=EVERY_TENANT) as connection:
        due = list(connection.scalars(query))
    fired = []
    for number in due:
        try:
            uid = _fire_one(engine, number, now=now, audit=audit)
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - the border of a schedule: the others are other people's
            _LOG.exception("schedule number %d is put off for %.0f s", number, PUT_OFF.total_seconds())
            with write(engine, tenant=EVERY_TENANT) as connection:
                mine = sa.update(schedules).where(schedules.c.id == number)
                connection.execute(mine.values(next_at=now + PUT_OFF))
        else:
            fired += [uid] if uid else []
    return fired


def _is_due(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (sa.text("is_active"), schedules.c.next_at <= now)  # type: ignore[return-value]


def _fire_one(engine: Engine, number: int, *, now: datetime, audit: AuditLog) -> str | None:
    with write(engine, tenant=EVERY_TENANT) as connection:
        query = sa.select(*_columns()).where(schedules.c.id == number, *_is_due(now))
        row = connection.execute(query.with_for_update(skip_locked=True)).mappings().first()
        return None if row is None else _fire(connection, Schedule(**row), now=now, audit=audit)


def _fire(connection: Connection, schedule: Schedule, *, now: datetime, audit: AuditLog) -> str | None:
    identity = Identity(
        tenant=schedule.tenant_id,
        principal=schedule.created_by,
        role=Role.TRAINER,
        scopes=frozenset({"jobs:write"}),
        source=f"schedule {schedule.name}",
    )
    values: dict[str, Any] = {"last_at": now}
    uid = None
    try:
        cron.check_zone(schedule.time_zone)
        values["next_at"] = cron.next_after(schedule.cron, schedule.time_zone, now)
        # What a refusal has written by then is taken back without the schedule's own next time.
        with connection.begin_nested():
            _check_tenant(connection, schedule.tenant_id)
            request = JobRequest.model_validate(dict(schedule.payload))
            key = f"schedule:{schedule.uid}:{schedule.next_at.isoformat()}"
            uid = jobs.submit(connection, request, identity=identity, now=now, audit=audit, key=key).uid
        values["last_job"] = uid
    except TooManyError as error:
        _LOG.warning("schedule %s of %s is left out once: %s", schedule.name, schedule.tenant_id, error)
    except ConfigError as error:
        # It was accepted by an older version, or its time zone is gone; every next time would be refused alike.
        values["is_active"] = False
        _write_down(connection, audit, identity, "schedule.paused", schedule, now=now, reason=str(error))
    except AIHubError as error:
        _LOG.warning("schedule %s of %s did not fire: %s", schedule.name, schedule.tenant_id, error)
    connection.execute(sa.update(schedules).where(schedules.c.id == schedule.id).values(**values))
    return uid


def _check_tenant(connection: Connection, name: str) -> None:
    found = tenants.find(connection, name)
    if found is not None and not found.is_active:
        # Nobody of it may ask for a job: no clock of it may either.
        raise ForbiddenError(f"tenant {name!r} is switched off")


def _columns() -> list[sa.Column[Any]]:
    return [schedules.c[name] for name in Schedule.__dataclass_fields__]


def _write_down(
    connection: Connection,
    audit: AuditLog,
    identity: Identity,
    action: str,
    schedule: Schedule,
    *,
    now: datetime,
    reason: str = "",
) -> None:
    audit.append(
        connection,
        tenant=schedule.tenant_id,
        actor=identity.principal,
        action=action,
        subject=f"schedule:{schedule.name}",
        now=now,
        after={"cron": schedule.cron, "time_zone": schedule.time_zone, "job": dict(schedule.payload)},
        reason=reason,
        source=identity.source,
    )
