"""Files of data that nobody refers to any more: what a killed process leaves, and tables without a row.

A crash between a file and its row leaves the file; never the other way round. So every so often files are compared with
rows, and what has been without one for a day is deleted.
"""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from aihub.delivery import datasets, fetching
from aihub.delivery.job_records import JobState
from aihub.store.engine import EVERY_TENANT, read
from aihub.store.job_tables import datasets as rows
from aihub.store.job_tables import jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.delivery.lease import Lease
    from aihub.hub import Hub

KEPT_FOR = timedelta(days=1)
"""Age at which what has no owner is deleted: an upload that goes on writes to its file, and makes its row at once."""
_AT_ONCE = 500
_T = TypeVar("_T")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FETCHED = re.compile(r"(?P<job>[A-Za-z0-9_]+)-(?P<token>\d+)\.[0-9a-f]+")
_ASIDE = ".aside"


def owner_of(lease: Lease) -> str:
    """Return the name of a run, which is another for each time that a job is claimed."""
    return f"{lease.uid}-{lease.token}"


def sweep(hub: Hub, now: datetime) -> int:
    """Delete what nobody refers to; returns how many files. Idempotent, and safe beside uploads and other processes."""
    root, until = datasets.folder(hub.settings), (now - KEPT_FOR).timestamp()
    left = sweep_machine(hub, now)
    return left + sum(_delete(hub.engine, path, until) for path in _without_row(hub.engine, root, until))


def sweep_machine(hub: Hub, now: datetime) -> int:
    """Delete what killed processes have left in the folders of this machine; returns how many files. As safe as `sweep`."""
    root, until = datasets.folder(hub.settings), (now - KEPT_FOR).timestamp()
    begun = [*root.glob(".*.tmp"), *(hub.settings.home / "uploads").glob(".*.tmp")]
    found = [path for path in begun if _is_older(path, until)]
    found += _left_by_runs(hub.engine, fetching.folder(hub.settings))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _left_by_runs(engine: Engine, folder: Path) -> list[Path]:
    """List fetched tables whose run is over or was taken over."""
    named = {path: _FETCHED.fullmatch(path.name) for path in folder.glob("*")}
    wanted = {found["job"] for found in named.values() if found is not None}
    running: set[tuple[str, int]] = set()
    with read(engine, tenant=EVERY_TENANT) as connection:
        for uids in _pieces(sorted(wanted), _AT_ONCE):
            query = sa.select(jobs.c.uid, jobs.c.lease_token).where(
                jobs.c.uid.in_(uids), jobs.c.state == JobState.RUNNING.value
            )
            running |= {(row.uid, row.lease_token) for row in connection.execute(query)}
    return [
        path
        for path, found in named.items()
        if found is None or (found["job"], int(found["token"])) not in running
    ]


def _without_row(engine: Engine, root: Path, until: float) -> Iterator[Path]:
    """Yield old tables that are no tenant's; also those that a sweep before had put aside when it was killed."""
    for some in _pieces(_tables(root, until), _AT_ONCE):
        known = _known(engine, [path.name.removesuffix(_ASIDE) for path in some])
        for path in some:
            if path.name.removesuffix(_ASIDE) not in known:
                yield path
            elif path.name.endswith(_ASIDE):
                path.replace(path.with_suffix(""))


def _tables(root: Path, until: float) -> Iterator[Path]:
    for folder in sorted(root.glob("[0-9a-f][0-9a-f]")):
        for path in sorted(folder.iterdir()):
            if _DIGEST.fullmatch(path.name.removesuffix(_ASIDE)) and _is_older(path, until):
                yield path


def _known(engine: Engine, digests: Iterable[str]) -> set[str]:
    with read(engine, tenant=EVERY_TENANT) as connection:
        return set(connection.scalars(sa.select(rows.c.digest).where(rows.c.digest.in_(list(digests)))))


def _delete(engine: Engine, path: Path, until: float) -> bool:
    """Delete a table, unless it has been uploaded again since it was looked at."""
    aside = path if path.name.endswith(_ASIDE) else path.with_name(path.name + _ASIDE)
    try:
        path.replace(aside)
    except FileNotFoundError:
        return False
    digest = aside.name.removesuffix(_ASIDE)
    if not _is_older(aside, until) or _known(engine, [digest]):
        aside.replace(aside.with_name(digest))
        return False
    aside.unlink(missing_ok=True)
    return True


def _is_older(path: Path, until: float) -> bool:
    try:
        return path.stat().st_mtime < until
    except FileNotFoundError:
        return False


def _pieces(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece
