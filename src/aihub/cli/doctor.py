"""`aihub doctor`: what could keep the hub from working here, and how to mend it."""

from __future__ import annotations

import shutil
from importlib import import_module
from typing import TYPE_CHECKING

import click
from sqlalchemy.exc import SQLAlchemyError

from aihub.cli import examinations
from aihub.cli.console import print_json, table
from aihub.cli.diagnosis import Diagnosis
from aihub.cli.options import json_option
from aihub.errors import AIHubError
from aihub.settings import MIN_FREE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.settings import Settings

TREE_LIBRARIES = ("lightgbm", "xgboost")


@click.command()
@json_option
def doctor(*, as_json: bool) -> int:
    """Check libraries, disk, database, tenants, champions, clock, workers, notifications and MLflow; exit code 1 where something is broken."""
    from aihub.settings import from_environment

    settings = from_environment()
    found = [_examined(examine, settings) for examine in EXAMINATIONS]
    if as_json:
        print_json({"checks": [{**vars(item), "state": item.word} for item in found]})
    else:
        table(["", "what", "found", "how to mend"], [[d.word, d.subject, d.finding, d.mend] for d in found])
    return 1 if any(item.word == "broken" for item in found) else 0


def _examined(examine: Callable[[Settings], Diagnosis], settings: Settings) -> Diagnosis:
    """Return what an examination found; one that cannot be made is a finding too."""
    try:
        return examine(settings)
    except (AIHubError, SQLAlchemyError) as error:
        name = examine.__name__.replace("_", " ")
        return Diagnosis(name, str(error).splitlines()[0][:300], "mend the database first, then look again")


def libraries(settings: Settings) -> Diagnosis:
    """Load the tree libraries: LightGBM's wheel needs the system's OpenMP runtime, which slim images lack."""
    del settings
    versions = []
    for name in TREE_LIBRARIES:
        try:
            versions.append(f"{name} {import_module(name).__version__}")
        except (ImportError, OSError) as error:
            mend = "install the OpenMP runtime: apt-get install libgomp1, or brew install libomp"
            return Diagnosis("libraries", f"{name} does not load: {error}", mend)
    return Diagnosis("libraries", ", ".join(versions))


def home(settings: Settings) -> Diagnosis:
    """Write into the home folder and look at the room left."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Diagnosis("home", f"{settings.home}: {error.strerror}", "make it writable or set AIHUB_HOME")
    free = shutil.disk_usage(settings.home).free
    found = f"{settings.home}, {free / 1e9:.0f} GB free"
    return Diagnosis(
        "home", found, "" if free >= MIN_FREE_BYTES else "free some space: less than 1 GB is left"
    )


def database(settings: Settings) -> Diagnosis:
    """Ask the database, bringing its tables up to date."""
    import sqlalchemy as sa

    from aihub.hub import opened
    from aihub.store.engine import EVERY_TENANT, read
    from aihub.store.tables import models

    try:
        with opened(settings) as hub:
            with read(hub.engine, tenant=EVERY_TENANT) as connection:
                count = connection.scalar(sa.select(sa.func.count()).select_from(models)) or 0
            return Diagnosis(
                "database", f"{hub.engine.dialect.name}, {count} model{'' if count == 1 else 's'}"
            )
    except AIHubError as error:
        return Diagnosis("database", str(error), "start the database, or correct AIHUB_DATABASE_URL")


def sqlite(settings: Settings) -> Diagnosis:
    """Compare the SQLite library with those that can corrupt a WAL file which two processes write."""
    from aihub.store.lite import driver, has_wal_fault

    library = driver()
    found = f"SQLite {library.sqlite_version}"
    if not settings.store_url.startswith("sqlite") or not has_wal_fault(library.sqlite_version_info):
        return Diagnosis("sqlite", found)
    mend = "nothing to do: the hub keeps away from WAL here; pip install pysqlite3 makes it faster"
    return Diagnosis("sqlite", f"{found} has the WAL-reset fault", mend, is_fatal=False)


EXAMINATIONS: tuple[Callable[[Settings], Diagnosis], ...] = (
    libraries,
    home,
    sqlite,
    # Before the next one brings them up to date.
    examinations.tables,
    database,
    examinations.isolation,
    examinations.files,
    examinations.champions,
    examinations.clock,
    examinations.workers,
    examinations.audit_key,
    examinations.notifications,
    examinations.mlflow,
)
