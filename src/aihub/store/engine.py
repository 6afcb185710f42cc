"""Engines and transactions: SQLite and PostgreSQL set up so that both behave alike."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aihub.errors import ConfigError, UnavailableError
from aihub.store.lite import Turns, driver, has_wal_fault
from aihub.types import OPERATOR_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL, Connection, Engine

BUSY_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 30_000
SCHEMA = "aihub"
"""Schema of our tables on PostgreSQL, where others (MLflow) may live in the same database."""
EVERY_TENANT = OPERATOR_TENANT
"""Instead of a tenant: for workers, migrations and operators, who see the rows of all."""
_WRITE = "aihub_write"
_TURNS = "aihub_turns"


def create(url: str, *, journal: str = "auto") -> Engine:
    """Return an engine for `url`; creates the folder of a SQLite file, never a table.

    Raises
    ------
    ConfigError
        The address cannot be used.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The address may hold a password: it is not repeated here.
        message = "the database address is not of the form sqlite:///FILE or postgresql://USER@HOST/NAME; set AIHUB_DATABASE_URL"
        raise ConfigError(message, field="database_url") from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, journal)
        case "postgresql" | "postgres":
            return _postgresql(parsed)
        case other:
            raise ConfigError(
                f"no database of kind {other!r}; use sqlite:///FILE or postgresql://...", field="database_url"
            )


def _sqlite(url: URL, journal: str) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise ConfigError(
            "a database in memory is lost with its connection; name a file", field="database_url"
        )
    folder = Path(str(url.database)).parent
    try:
        # Hashes of keys and all the data: for its owner only, where the folder is made here.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {folder} cannot be made ({error.strerror}); make it writable or set AIHUB_HOME"
        raise ConfigError(message, field="home") from None
    library = driver()
    engine = sa.create_engine(
        url,
        module=library,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        execution_options={_TURNS: Turns()},
    )
    wal = journal == "wal" or (journal == "auto" and not has_wal_fault(library.sqlite_version_info))
    mode = "WAL" if wal else "TRUNCATE"

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: it would open them too late, and deferred.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "recursive_triggers=ON",
            # What was answered with "accepted" is on the disk, with WAL too.
            "synchronous=FULL",
        ):
            connection.execute(f"PRAGMA {pragma}")
        _set_journal(connection, mode, library)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails at once where another has written in between.
        kind = "IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def _set_journal(connection: Any, mode: str, library: Any) -> None:
    (current,) = connection.execute("PRAGMA journal_mode").fetchone()
    if str(current).upper() in (mode, "DELETE" if mode == "TRUNCATE" else mode):
        # TRUNCATE is per connection and needs no lock.
        if mode == "TRUNCATE":
            connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
        return
    try:
        connection.execute(f"PRAGMA journal_mode={mode}").fetchone()
    except library.OperationalError as error:
        # Only the last connection may leave WAL; the next start will.
        if "locked" not in str(error):
            raise


def _postgresql(url: URL) -> Engine:
    # Without deadlines a connection in a network partition hangs for many minutes.
    options = (
        f"-c search_path={SCHEMA} -c timezone=utc -c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        " -c idle_in_transaction_session_timeout=60000"
    )
    arguments = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": options,
        "application_name": "aihub",
    }
    try:
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"), connect_args=arguments, pool_pre_ping=True
        )
    except ModuleNotFoundError:
        message = "PostgreSQL needs the driver: pip install 'aihub[postgres]'"
        raise ConfigError(message, field="database_url") from None


@contextmanager
def write(engine: Engine, *, tenant: str) -> Iterator[Connection]:
    """One transaction that may write: committed at the end of the block, rolled back on any exception.

    On PostgreSQL only rows of `tenant` exist in it (see `aihub.store.isolation`); `EVERY_TENANT` lifts that.

    Raises
    ------
    UnavailableError
        The database does not answer, or another writer held it longer than the timeout.
    ConfigError
        The file of a SQLite database is damaged.
    """
    with (
        _turn(engine),
        _translated(engine),
        engine.connect().execution_options(**{_WRITE: True}) as connection,
        connection.begin(),
    ):
        _confine(connection, tenant)
        yield connection


def _turn(engine: Engine) -> AbstractContextManager[None]:
    turns: Turns | None = engine.get_execution_options().get(_TURNS)
    return nullcontext() if turns is None else turns.turn(BUSY_TIMEOUT_MS / 1000)


@contextmanager
def read(engine: Engine, *, tenant: str) -> Iterator[Connection]:
    """One transaction that only reads, confined as `write` is; all its statements see the same state on SQLite."""
    with _translated(engine), engine.connect() as connection:
        _confine(connection, tenant)
        yield connection


def _confine(connection: Connection, tenant: str) -> None:
    if connection.dialect.name != "postgresql":
        return
    driver: Any = connection.dialect.loaded_dbapi
    try:
        # Past SQLAlchemy, which takes as long for this as the server does. The setting ends with the transaction, so that
        # a connection which goes back to the pool sees nothing.
        connection.connection.cursor().execute("SELECT set_config('aihub.tenant', %s, true)", (tenant,))
    except driver.OperationalError as error:
        raise OperationalError("set_config", None, error) from error


def let_writers_in(connection: Connection) -> None:
    """End the transaction of a long reader between two of its pages on SQLite, where it keeps writers waiting.

    The pages then may be of different states, which does not matter to a log that only grows. Does nothing on PostgreSQL and
    within `write`.
    """
    if connection.dialect.name == "sqlite" and not connection.get_execution_options().get(_WRITE):
        connection.rollback()


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        said = str(error.orig)
        is_full = any(word in said for word in ("is full", "No space left"))
        step = "free space on its disk" if is_full else "check that it is up and not locked"
        message = f"database {where} does not answer: {said}; {step}, then repeat"
        raise UnavailableError(message) from error
    except PoolTimeout as error:
        message = "all connections to the database are in use; repeat the request"
        raise UnavailableError(message) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError or not isinstance(error.orig, driver().DatabaseError):
            raise
        # SQLite's word for a file that is cut off, overwritten or of another program: no later try would help.
        message = (
            f"the database file {engine.url.database} is damaged ({error.orig}); restore it from a copy, or move it "
            "away to begin anew"
        )
        raise ConfigError(message, field="database_url") from error
