"""What somebody who owns the database can do to the audit log, and whether it is found. The triggers are taken off first."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.store.access_tables import audit
from aihub.store.audit import AuditLog, AuditVerdict
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = AuditLog(b"k" * 32)
EVENTS = 6
SIGNED = ["at", "actor", "action", "subject", "before", "after", "reason", "source", "previous_hash", "hash"]
mine = audit.c.tenant_id == "a"


def append(connection: Connection, tenant: str, number: int, log: AuditLog = LOG) -> None:
    log.append(
        connection,
        tenant=tenant,
        actor=f"person {number}",
        action="model.deployed",
        subject=f"model:{number}",
        now=NOW + timedelta(seconds=number),
        before={"version": number},
        after={"version": number + 1},
        reason=f"because {number}",
        source="test",
    )


@pytest.fixture
def owned(database: Engine) -> Engine:
    with write(database, tenant=EVERY_TENANT) as connection:
        for number in range(1, EVENTS + 1):
            append(connection, "a", number)
            append(connection, "b", number)
        if connection.dialect.name == "sqlite":
            for trigger in ("audit_no_update", "audit_no_delete", "audit_no_replace"):
                connection.execute(sa.text(f"DROP TRIGGER {trigger}"))
        else:
            connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER USER"))
    return database


def verdict(database: Engine, log: AuditLog = LOG, marks: dict[int, str] | None = None) -> AuditVerdict:
    with read(database, tenant="a") as connection:
        return log.verify(connection, tenant="a", marks=marks)


def found_after(database: Engine, change: Callable[[Connection], object]) -> int | None:
    """First bad event after `change`, which is undone again."""
    with database.connect() as connection, connection.begin() as transaction:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT set_config('aihub.tenant', '*', true)"))
        change(connection)
        found = LOG.verify(connection, tenant="a")
        transaction.rollback()
    assert found.is_intact == (found.first_bad is None) == (not found.reason)
    return found.first_bad


def edit(place: int, **values: Any) -> Callable[[Connection], object]:
    return lambda c: c.execute(sa.update(audit).where(mine, audit.c.sequence == place).values(**values))


def delete(sequence: int) -> Callable[[Connection], object]:
    return lambda c: c.execute(sa.delete(audit).where(mine, audit.c.sequence == sequence))


def renumber(connection: Connection, first: int, by: int) -> None:
    for sequence in sorted(range(first, EVENTS + 1), reverse=by > 0):
        edit(sequence, sequence=sequence + by)(connection)


def copy(connection: Connection, sequence: int, to: int, tenant: str = "a") -> None:
    query = sa.select(audit).where(audit.c.tenant_id == tenant, audit.c.sequence == sequence)
    row = dict(connection.execute(query).mappings().one())
    del row["id"]
    connection.execute(sa.insert(audit).values({**row, "tenant_id": "a", "sequence": to}))


def swap(one: int, two: int) -> Callable[[Connection], object]:
    def change(connection: Connection) -> None:
        for old, new in ((one, 99), (two, one), (99, two)):
            edit(old, sequence=new)(connection)

    return change


@pytest.mark.parametrize("column", SIGNED)
def test_every_edit_is_found_and_named(owned: Engine, column: str) -> None:
    values = {
        "at": NOW + timedelta(microseconds=1),
        "before": {"version": 1.0},
        "after": None,
        "hash": "0" * 64,
        "previous_hash": "f" * 64,
    }
    for sequence in range(1, EVENTS + 1):
        assert found_after(owned, edit(sequence, **{column: values.get(column, "eve")})) == sequence


def test_a_deleted_event_is_named_and_so_is_one_that_others_moved_up_to(owned: Engine) -> None:
    for sequence in range(1, EVENTS):
        assert found_after(owned, delete(sequence)) == sequence

        def hide(connection: Connection, sequence: int = sequence) -> None:
            delete(sequence)(connection)
            renumber(connection, sequence + 1, -1)

        assert found_after(owned, hide) == sequence


def test_events_that_changed_places_are_found(owned: Engine) -> None:
    for one in range(1, EVENTS):
        for two in range(one + 1, EVENTS + 1):
            assert found_after(owned, swap(one, two)) == one


def test_an_event_that_was_put_in_is_found(owned: Engine) -> None:
    for to in range(1, EVENTS + 1):

        def put_in(connection: Connection, to: int = to, tenant: str = "b") -> None:
            renumber(connection, to, 1)
            copy(connection, to if tenant == "b" else to + 1, to, tenant)

        assert found_after(owned, put_in) == to
        # Of two that are the same the second is one too many.
        assert found_after(owned, lambda c: put_in(c, tenant="a")) == to + 1
    for place in (0, EVENTS + 1, 99):
        for tenant in ("a", "b"):
            found = found_after(owned, lambda c: copy(c, 1, place, tenant))  # noqa: B023 - as above
            assert found == min(place, EVENTS + 1)


def test_an_event_given_to_another_tenant_is_missed(owned: Engine) -> None:
    assert found_after(owned, edit(3, tenant_id="c")) == 3


def test_any_mixture_is_found_no_later_than_its_first_trace(owned: Engine) -> None:
    draw = random.Random(1)  # noqa: S311 - a seed of a test
    for _ in range(100):
        touched = [draw.randint(1, EVENTS - 1) for _ in range(draw.randint(1, 3))]
        changes = [
            draw.choice([delete(place), edit(place, **{draw.choice(SIGNED[1:4]): f"eve {draw.random()}"})])
            for place in touched
        ]
        assert found_after(owned, lambda c: [change(c) for change in changes]) == min(touched)  # noqa: B023


def test_garbage_in_a_row_is_a_finding_and_no_crash(owned: Engine) -> None:
    if owned.dialect.name == "postgresql":
        change = sa.text(
            "UPDATE audit SET before = '[NaN]', after = '7' WHERE tenant_id = 'a' AND sequence = 4"
        )
        with pytest.raises(sa.exc.DBAPIError):
            found_after(owned, lambda c: c.execute(change))
        change = sa.text("UPDATE audit SET before = '[1]' WHERE tenant_id = 'a' AND sequence = 4")
        assert found_after(owned, lambda c: c.execute(change)) == 4
        return
    deep = f"'{'[' * 100_000}'"
    for column, value in (
        ("before", "'{'"), ("before", deep), ("at", "'yesterday'"), ("actor", "x'ff00'"), ("hash", "7"), ("hash", "x'00'"),
        ("hash", "char(55296)"), ("sequence", "'four'"), ("sequence", "4.5"),
    ):  # fmt: skip
        change = sa.text(f"UPDATE audit SET {column} = {value} WHERE tenant_id = 'a' AND sequence = 4")  # noqa: S608
        assert found_after(owned, lambda c, change=change: c.execute(change)) == 4


def test_an_event_without_a_number_is_found(owned: Engine) -> None:
    if owned.dialect.name == "sqlite":
        for number, place in (("'four'", EVENTS + 1), ("4.5", 5)):
            names = ", ".join(column.name for column in audit.c if column.name not in ("id", "sequence"))
            change = sa.text(
                f"INSERT INTO audit (sequence, {names}) SELECT {number}, {names} FROM audit "  # noqa: S608
                "WHERE tenant_id = 'a' AND sequence = 4"
            )
            assert found_after(owned, lambda c, change=change: c.execute(change)) == place


def test_only_a_checkpoint_sees_a_tail_that_was_cut_off(owned: Engine) -> None:
    head = verdict(owned).head
    with write(owned, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.delete(audit).where(mine, audit.c.sequence > 4))
    assert verdict(owned).is_intact
    found = verdict(owned, marks={EVENTS: head})
    assert found.first_bad == 5
    assert "5 to 6 were cut off" in found.reason


def test_a_checkpoint_sees_a_chain_that_was_written_anew_with_the_key(owned: Engine) -> None:
    marks = {EVENTS: verdict(owned).head}
    with write(owned, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.delete(audit).where(mine))
        for number in range(2, EVENTS + 4):
            append(connection, "a", number)
    assert verdict(owned).is_intact
    found = verdict(owned, marks=marks)
    assert found.first_bad == EVENTS
    assert "anew" in found.reason


def test_a_new_key_follows_an_old_one_and_never_the_other_way_round(database: Engine) -> None:
    old, new = AuditLog(b"o" * 32), AuditLog(b"n" * 32, (b"o" * 32,))
    with write(database, tenant=EVERY_TENANT) as connection:
        for number, log in enumerate([old, old, new], 1):
            append(connection, "a", number, log)
    assert verdict(database, new).is_intact
    assert verdict(database, AuditLog(b"n" * 32)).first_bad == 1
    assert verdict(database, old).first_bad == 3
    with write(database, tenant=EVERY_TENANT) as connection:
        append(connection, "a", 4, old)
    assert verdict(database, new).first_bad == 4


def test_a_key_is_not_shown() -> None:
    assert repr(AuditLog(b"k" * 32, (b"o" * 32,))) == "AuditLog()"
    with pytest.raises(ValueError, match="at least 32"):
        AuditLog(b"k" * 32, (b"short",))
