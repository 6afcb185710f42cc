"""The data of jobs: tables that were uploaded, files under allowed folders, addresses on allowed hosts.

A table is kept under the digest of its bytes; who may use it says a row of the tenant. What a job names by its address is
fetched by `aihub.delivery.fetching`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import sqlalchemy as sa

from aihub.errors import ConfigError, DataError, ForbiddenError, InputError, NotFoundError, UnavailableError
from aihub.store.engine import read
from aihub.store.job_tables import datasets
from aihub.store.models import insert_unless_there
from aihub.training.data.arriving import ArrivingTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine, RowMapping

    from aihub.settings import Settings
    from aihub.store.audit import AuditLog

FORMATS = ("csv", "csv.gz", "parquet")
CHUNK_BYTES = 1 << 20
MAX_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An uploaded table; `digest` is its id."""

    digest: str
    name: str
    format: str
    size_bytes: int
    rows: int
    columns: tuple[str, ...]
    created_by: str
    created_at: datetime

    @classmethod
    def from_row(cls, row: RowMapping) -> Dataset:
        """Read a row of the table."""
        return cls(
            **{name: row[name] for name in cls.__dataclass_fields__} | {"columns": tuple(row["columns"])}
        )


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A table that lies in its place."""

    path: Path
    digest: str
    size_bytes: int
    format: str
    rows: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Located:
    """Where data of a job is on this machine; an uploaded table may still have to be brought there."""

    path: Path
    dataset: Dataset | None = None


class Intake:
    """Takes a table in piece by piece and puts it in its place when it is whole.

    Use it in a `with` block: whatever ends it before `finish` leaves nothing.

    Raises
    ------
    DataError
        The table is larger than `max_dataset_mb`, or cannot be used; the message says where.
    UnavailableError
        The disk is full or the folder cannot be written.
    """

    def __init__(self, settings: Settings, label: str) -> None:
        self._root = folder(settings)
        self._limit = settings.max_dataset_mb << 20
        self._label = label
        self._digest = hashlib.sha256()
        self._size = 0
        self._table = ArrivingTable(label)
        self._path = self._root / f".{secrets.token_hex(12)}.tmp"

    def __enter__(self) -> Self:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")
        except OSError as error:
            raise _cannot_write(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Check and keep the next bytes."""
        self._size += len(piece)
        if self._size > self._limit:
            raise DataError(
                f"has more than the {self._limit >> 20} MiB that are taken. Send Parquet, or split it.",
                file=self._label,
            )
        self._table.feed(piece)
        self._digest.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise _cannot_write(error) from error

    def finish(self, expected: str | None = None, *, target: Path | None = None) -> Stored:
        """Put the table in its place, or at `target`. A crash at any moment leaves it there whole, or not at all.

        Raises
        ------
        DataError
            It is no table, or not the one with the digest that is `expected`.
        """
        if expected is not None and self._digest.hexdigest() != expected:
            raise DataError("is not what was sent when it arrived. Send it again.", file=self._label)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            found = self._table.finish(self._path)
            digest = self._digest.hexdigest()
            target = target or place(self._root, digest)
            target.parent.mkdir(exist_ok=True)
            self._path.replace(target)
        except OSError as error:
            raise _cannot_write(error) from error
        return Stored(
            path=target,
            digest=digest,
            size_bytes=self._size,
            format=found.format,
            rows=found.rows,
            columns=found.columns,
        )


def _cannot_write(error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the data set could not be written: {error.strerror}; free space on the hub's disk, then repeat"
    )


def folder(settings: Settings) -> Path:
    """Return where the tables lie."""
    return settings.datasets_dir


def place(root: Path, digest: str) -> Path:
    """Return where the table of this digest lies, or would lie."""
    return root / digest[:2] / digest


def record(
    connection: Connection,
    stored: Stored,
    *,
    tenant: str,
    name: str,
    actor: str,
    now: datetime,
    audit: AuditLog,
    source: str = "",
) -> Dataset:
    """Give the tenant a stored table; writes row and audit event. The same content again is the same data set."""
    row = {
        "tenant_id": tenant,
        "digest": stored.digest,
        "name": name[:MAX_NAME],
        "format": stored.format,
        "size_bytes": stored.size_bytes,
        "rows": stored.rows,
        "columns": list(stored.columns),
        "created_by": actor,
        "created_at": now,
    }
    if find(connection, stored.digest, tenant=tenant) is None:
        insert_unless_there(connection, datasets, row)
        audit.append(
            connection,
            tenant=tenant,
            actor=actor,
            action="dataset.uploaded",
            subject=f"dataset:{stored.digest}",
            now=now,
            after={"name": row["name"], "rows": stored.rows, "size_bytes": stored.size_bytes},
            source=source,
        )
    return get(connection, stored.digest, tenant=tenant)


def find(connection: Connection, digest: str, *, tenant: str) -> Dataset | None:
    """Return a data set of the tenant, None where it has none with this digest."""
    query = sa.select(datasets).where(datasets.c.tenant_id == tenant, datasets.c.digest == digest)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Dataset.from_row(row)


def get(connection: Connection, digest: str, *, tenant: str) -> Dataset:
    """Return a data set of the tenant.

    Raises
    ------
    NotFoundError
        It has none with this digest.
    """
    found = find(connection, digest, tenant=tenant)
    if found is None:
        raise NotFoundError("dataset", digest[:64])
    return found


def list_page(
    connection: Connection, *, tenant: str, before: int | None = None, limit: int = 100
) -> list[tuple[int, Dataset]]:
    """Return data sets of the tenant, newest first, each with the position that a next page begins before."""
    query = sa.select(datasets).where(datasets.c.tenant_id == tenant).order_by(datasets.c.id.desc())
    if before is not None:
        query = query.where(datasets.c.id < before)
    rows = connection.execute(query.limit(limit)).mappings()
    return [(row["id"], Dataset.from_row(row)) for row in rows]


def check(settings: Settings, connection: Connection, data: Mapping[str, Any], *, tenant: str) -> None:
    """Refuse what the job would fail of, without fetching anything: a job that cannot run is not taken.

    Raises
    ------
    InputError, NotFoundError, ForbiddenError, DataError
        As `resolve` and `checked_url`.
    """
    kind, value = _named(data)
    if kind == "dataset_id":
        get(connection, value, tenant=tenant)
    elif kind == "path":
        _allowed_path(settings, value, tenant)
    else:
        _allowed_url(settings, value)


def resolve(settings: Settings, engine: Engine, data: Mapping[str, Any], *, tenant: str) -> Located:
    """Return where a job's data lies, or is to lie, on this machine; what an address names is fetched by `fetching.held`.

    Parameters
    ----------
    data
        One of ``dataset_id`` and ``path``.

    Raises
    ------
    InputError
        None of them, or several, or one of another form.
    NotFoundError
        No such data set.
    ForbiddenError
        The path is not among those that are allowed.
    """
    kind, value = _named(data)
    if kind == "path":
        return Located(_allowed_path(settings, value, tenant))
    if kind == "url":
        raise ConfigError("data.url is fetched for one run; name a file of this machine", field="data.url")
    with read(engine, tenant=tenant) as connection:
        found = get(connection, value, tenant=tenant)
    return Located(place(folder(settings), found.digest), found)


def checked_url(settings: Settings, data: Mapping[str, Any]) -> str:
    """Return the address that a job names.

    Raises
    ------
    InputError
        It is no address, or beside it something else is named.
    ForbiddenError
        It is not among those that are allowed.
    """
    _, url = _named(data)
    _allowed_url(settings, url)
    return url


def host_of(url: str) -> str:
    """Return the name of an address's host as lists have it."""
    return (urlsplit(url).hostname or "").lower()


def _named(data: Mapping[str, Any]) -> tuple[str, str]:
    given = {name: data[name] for name in ("dataset_id", "path", "url") if data.get(name) is not None}
    if len(given) != 1:
        raise ConfigError("data names one of dataset_id, path and url; name exactly one", field="data")
    ((name, value),) = given.items()
    if not isinstance(value, str) or not 0 < len(value) <= 4096 or "\0" in value:  # noqa: PLR2004 - longest path
        raise ConfigError(f"data.{name} is not a text of a usable length; correct it", field=f"data.{name}")
    return name, value


def _allowed_path(settings: Settings, path: str, tenant: str) -> Path:
    refusal = ForbiddenError(
        "data.path is not a file under one of the folders of AIHUB_DATA_ROOTS; upload the file, or ask who runs the hub"
    )
    roots = [Path(root.replace("{tenant}", tenant)) for root in settings.data_roots]
    try:
        found = Path(path).resolve(strict=True)
        # After all links: one that leads out of the folder is out of it.
        is_inside = any(found.is_relative_to(root.resolve(strict=True)) for root in roots if root.is_dir())
    except (OSError, RuntimeError, ValueError):
        raise refusal from None
    if not is_inside or not found.is_file():
        raise refusal
    return found


def _allowed_url(settings: Settings, url: str) -> None:
    try:
        parsed, host = urlsplit(url), host_of(url)
        # A port is judged only when it is asked for; line ends and tabs are dropped in silence.
        is_address = parsed.port != 0 and url.isprintable()
    except ValueError:
        is_address = False
    if not is_address:
        raise InputError("data.url is not an address; write https://HOST/PATH or s3://BUCKET/KEY")
    if parsed.username or parsed.password:
        raise InputError("data.url must have no user and no password in it; remove them")
    if parsed.scheme == "s3":
        # Arrow would take the address of another server from there.
        if parsed.query or parsed.fragment:
            raise InputError("data.url of a bucket ends with the key; remove what follows '?' or '#'")
        if host not in settings.data_buckets:
            raise ForbiddenError(
                "the bucket of data.url is not one of AIHUB_DATA_BUCKETS; ask who runs the hub"
            )
        return
    if parsed.scheme not in ("https", "http"):
        raise InputError("data.url must begin with https:// or s3://; correct it")
    if host not in {name.lower() for name in settings.data_hosts}:
        raise ForbiddenError("the host of data.url is not one of AIHUB_DATA_HOSTS; ask who runs the hub")
