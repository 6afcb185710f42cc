from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.errors import ConfigError, UnavailableError
from aihub.store import engine as engines
from aihub.store.engine import EVERY_TENANT, create, read, write
from aihub.store.lite import Turns, driver, has_wal_fault

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 52, 0), False),
    ],
)
def test_the_fault_is_known_by_version(version: tuple[int, ...], expected: bool) -> None:  # noqa: FBT001
    assert has_wal_fault(version) is expected


@pytest.mark.parametrize(("journal", "expected"), [("wal", "wal"), ("truncate", "truncate")])
def test_a_sqlite_connection_is_set_up(tmp_path: Path, journal: str, expected: str) -> None:
    engine = create(f"sqlite:///{tmp_path}/deep/hub.db", journal=journal)
    with read(engine, tenant=EVERY_TENANT) as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "recursive_triggers")
        }
    assert pragmas == {
        "journal_mode": expected,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
        "recursive_triggers": 1,
    }
    engine.dispose()


def test_auto_avoids_wal_where_the_library_has_the_fault(tmp_path: Path) -> None:
    engine = create(f"sqlite:///{tmp_path}/hub.db")
    with read(engine, tenant=EVERY_TENANT) as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    assert mode == ("truncate" if has_wal_fault(driver().sqlite_version_info) else "wal")
    engine.dispose()


def test_a_writer_holds_the_database_from_its_first_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 50)
    engine = create(f"sqlite:///{tmp_path}/hub.db")
    with write(engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.text("SELECT 1"))
        with pytest.raises(UnavailableError, match="other writers"), write(engine, tenant=EVERY_TENANT):
            pass
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "oracle://u:secret@h/x"]
)
def test_addresses_that_cannot_be_used_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_unavailable_soon_and_keeps_the_password() -> None:
    engine = create("postgresql://user:secret@127.0.0.1:9/hub")
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught, read(engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.text("SELECT 1"))
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)
    engine.dispose()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be made .*AIHUB_HOME"):
        create(f"sqlite:///{tmp_path / 'file' / 'hub.db'}")


@pytest.mark.parametrize("damage", ["text", "cut", "header"])
def test_a_damaged_file_is_named_and_no_later_try_promised(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "hub.db"
    engine = create(f"sqlite:///{path}")
    with write(engine, tenant=EVERY_TENANT) as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(20000))")
    engine.dispose()
    content = path.read_bytes()
    path.write_bytes(
        {"text": b"no database" * 100, "cut": content[:5000], "header": b"x" * 100 + content[100:]}[damage]
    )
    with (
        pytest.raises(ConfigError, match=r"hub\.db is damaged") as caught,
        read(engine, tenant=EVERY_TENANT) as connection,
    ):
        connection.exec_driver_sql("SELECT count(*), sum(length(x)) FROM t").all()
    assert caught.value.exit_code == 2
    engine.dispose()


def test_writers_of_a_process_take_turns_in_the_order_of_their_coming() -> None:
    turns, order, threads = Turns(), [], []

    def write_as(number: int) -> None:
        with turns.turn(10):
            order.append(number)

    with turns.turn(1):
        for number in range(20):
            thread = threading.Thread(target=write_as, args=(number,))
            thread.start()
            threads.append(thread)
            while len(turns._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_a_writer_that_waited_too_long_leaves_the_line() -> None:
    turns = Turns()
    with turns.turn(1):
        with pytest.raises(UnavailableError, match="other writers"), turns.turn(0.01):
            pass
        assert not turns._waiting
    with turns.turn(0.01):
        pass


def test_where_it_can_be_had_a_library_without_the_fault_is_used() -> None:
    pytest.importorskip("pysqlite3")
    assert not has_wal_fault(driver().sqlite_version_info)


def test_a_full_disk_is_said_to_be_that(tmp_path: Path) -> None:
    engine = create(f"sqlite:///{tmp_path / 'hub.db'}")
    with write(engine, tenant="default") as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        # As many pages as there are now: what the disk does when it is full.
        connection.exec_driver_sql("PRAGMA max_page_count = 2")
    with pytest.raises(UnavailableError, match="free space"), write(engine, tenant="default") as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (zeroblob(1000000))"))
    engine.dispose()
