"""Jobs that recur, on every database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.delivery import jobs, schedules
from aihub.errors import ConflictError, NotFoundError
from aihub.store import tenants as tenant_rows
from aihub.store.access_tables import tenants
from aihub.store.engine import EVERY_TENANT, read, write
from deliveries import AUDIT, GUIDE_CONFIG, identity

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 7, 1, tzinfo=UTC)
ANN = identity()


def made(database: Engine, name: str = "weekly", **fields: object) -> schedules.Schedule:
    body = {
        "name": name,
        "cron": "0 2 * * 0",
        "time_zone": "Europe/Berlin",
        "job": {"model_type": "forecast", "config": GUIDE_CONFIG, "priority": "low"},
        **fields,
    }
    request = schedules.ScheduleRequest.model_validate(body)
    with write(database, tenant="default") as connection:
        return schedules.create(connection, request, identity=ANN, now=NOW, audit=AUDIT)


def fire(database: Engine, now: datetime) -> list[str]:
    return schedules.fire_due(database, now=now, audit=AUDIT)


def look(database: Engine, schedule: schedules.Schedule) -> schedules.Schedule:
    with read(database, tenant="default") as connection:
        return schedules.get(connection, schedule.uid, tenant="default")


def test_a_schedule_makes_its_job_when_its_time_has_come(database: Engine) -> None:
    schedule = made(database)
    assert schedule.next_at == datetime(2026, 7, 5, tzinfo=UTC)
    assert fire(database, schedule.next_at - timedelta(seconds=1)) == []
    (uid,) = fire(database, schedule.next_at)
    with read(database, tenant="default") as connection:
        job = jobs.get(connection, uid, tenant="default")
    assert (job.submitted_by, job.source, job.priority) == ("ann", "schedule weekly", jobs.Priority.LOW)
    after = look(database, schedule)
    assert (after.next_at, after.last_job) == (datetime(2026, 7, 12, tzinfo=UTC), uid)


def test_what_was_missed_is_made_up_for_once(database: Engine) -> None:
    schedule = made(database, cron="0 * * * *")
    later = NOW + timedelta(days=3, minutes=30)
    assert len(fire(database, later)) == 1
    assert fire(database, later) == []
    assert look(database, schedule).next_at == later + timedelta(minutes=30)


def test_many_schedulers_fire_once(database: Engine) -> None:
    schedule = made(database)
    fired: list[str] = []

    def work() -> None:
        fired.extend(fire(database, schedule.next_at))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(fired) == 1


def test_a_firing_that_the_quota_refuses_is_left_out_and_leaves_nothing(database: Engine) -> None:
    schedule = made(database)
    row = {"tenant_id": "default", "created_by": "ann", "created_at": NOW, "is_active": True}
    with write(database, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(tenants).values(**row, rules={"max_queued_jobs": 1}))
    assert len(fire(database, schedule.next_at)) == 1
    following = look(database, schedule).next_at
    assert fire(database, following) == []
    assert look(database, schedule).next_at > following
    with read(database, tenant="default") as connection:
        assert AUDIT.verify(connection, tenant="default").events == 2


def test_in_a_tenant_that_is_switched_off_no_clock_asks_for_jobs(database: Engine) -> None:
    schedule = made(database)
    by: dict[str, Any] = {"actor": "operator", "now": NOW, "audit": AUDIT}
    with write(database, tenant=EVERY_TENANT) as connection:
        tenant_rows.ensure(connection, "default", **by)
        tenant_rows.change(connection, "default", is_active=False, reason="gone", **by)
    assert fire(database, schedule.next_at) == []
    following = look(database, schedule)
    assert (following.next_at, following.is_active) == (datetime(2026, 7, 12, tzinfo=UTC), True)
    with write(database, tenant=EVERY_TENANT) as connection:
        tenant_rows.change(connection, "default", is_active=True, reason="back", **by)
    assert len(fire(database, following.next_at)) == 1


@pytest.mark.parametrize(
    ("damage", "is_paused"),
    [
        ({"cron": "61 * * * *"}, True),
        ({"time_zone": "Europe/Gone"}, True),
        ({"payload": {"model_type": "of another age"}}, True),
        ({"payload": ["not", "a", "request"]}, False),
    ],
)
def test_a_schedule_that_breaks_holds_up_none_behind_it(
    database: Engine, damage: dict[str, object], *, is_paused: bool
) -> None:
    broken = made(database, "broken", cron="0 1 1 7 *", time_zone="UTC")
    sound = made(database, "sound", cron="0 2 1 7 *", time_zone="UTC")
    with write(database, tenant=EVERY_TENANT) as connection:
        table = schedules.schedules
        connection.execute(sa.update(table).where(table.c.name == "broken").values(damage))
    assert len(schedules.fire_due(database, now=sound.next_at, audit=AUDIT, limit=2)) == 1
    assert look(database, sound).last_job is not None
    after = look(database, broken)
    assert after.is_active is not is_paused
    assert is_paused or after.next_at > sound.next_at
    # Nor the next time.
    assert schedules.fire_due(database, now=sound.next_at, audit=AUDIT, limit=1) == []


def test_a_schedule_can_be_paused_and_goes_on_from_then(database: Engine) -> None:
    schedule = made(database)
    with write(database, tenant="default") as connection:
        schedules.set_active(connection, "weekly", is_active=False, identity=ANN, now=NOW, audit=AUDIT)
    assert fire(database, schedule.next_at) == []
    later = NOW + timedelta(days=30)
    with write(database, tenant="default") as connection:
        going = schedules.set_active(
            connection, schedule.uid, is_active=True, identity=ANN, now=later, audit=AUDIT
        )
    assert going.next_at > later


def test_names_are_the_tenants_own_and_single(database: Engine) -> None:
    schedule = made(database)
    with pytest.raises(ConflictError, match="exists"):
        made(database)
    with write(database, tenant="default") as connection:
        with pytest.raises(NotFoundError):
            schedules.get(connection, schedule.uid, tenant="other")
        schedules.delete(connection, schedule.uid, identity=ANN, now=NOW, audit=AUDIT)
        assert schedules.list_page(connection, tenant="default") == []
