"""What `aihub doctor` looks at in a running hub: tables, champions, clock, workers, notifications, MLflow. Reads only."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from aihub.cli.diagnosis import Diagnosis
from aihub.errors import AIHubError, ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from aihub.settings import Settings

MAX_SKEW = timedelta(seconds=5)
"""Leases and expiries are told by the database's clock, signatures and keys by this machine's."""
WORKER_SILENT = timedelta(seconds=60)
MLFLOW_TIMEOUT_S = 5.0
_MANY = 3


def tables(settings: Settings) -> Diagnosis:
    """Compare the tables with those that this version needs; nothing is changed."""
    from aihub.store import schema

    with _read(settings) as connection:
        found = schema.current(connection)
    if found == schema.HEAD:
        return Diagnosis("tables", f"revision {found}, the newest")
    if found is None:
        return Diagnosis("tables", "none yet", "nothing to do: the first start makes them", is_fatal=False)
    if found < schema.HEAD:
        mend = "take a copy of the database; the next start brings them up to date"
        return Diagnosis(
            "tables", f"revision {found}, this version needs {schema.HEAD}", mend, is_fatal=False
        )
    return Diagnosis("tables", f"revision {found}, of a newer version of the hub", "upgrade aihub")


def champions(settings: Settings) -> Diagnosis:
    """Check the artefact of everything that serves against its digest, in every tenant."""
    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.backing import backing_of
    from aihub.store.tables import deployments, models, versions

    query = (
        sa.select(models.c.tenant_id, models.c.name, deployments.c.environment, versions.c.digest)
        .select_from(deployments)
        .join(models, models.c.id == deployments.c.model_id)
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(deployments.c.ended_at.is_(None))
    )
    with _read(settings) as connection:
        serving = connection.execute(query).all()
    store, broken = ArtifactStore(settings.artifacts_dir, backing_of(settings, "artifacts")), []
    for tenant, name, environment, digest in serving:
        try:
            store.verify(digest)
        except ArtifactError:
            broken.append(f"{tenant}/{name} in {environment}")
    found = f"{len(serving)} serving, {len(broken)} damaged or missing"
    if not broken:
        return Diagnosis("champions", f"{len(serving)} serving, all as they were registered")
    named = ", ".join(broken[:_MANY]) + (", ..." if len(broken) > _MANY else "")
    place = settings.artifacts or settings.artifacts_dir
    mend = f"restore {place} from a copy, or roll back: {named}"
    return Diagnosis("champions", found, mend)


def files(settings: Settings) -> Diagnosis:
    """Write into the bucket of artefacts and that of data sets, read it back and remove it, where the settings name one."""
    from aihub.registry.backing import backing_of

    try:
        found = [backing_of(settings, kind).probe() for kind in ("artifacts", "datasets")]
    except AIHubError as error:
        mend = "correct AIHUB_ARTIFACTS, AIHUB_S3_* or the store, then look again"
        return Diagnosis("files", str(error), mend)
    return Diagnosis("files", " and ".join(dict.fromkeys(found)))


def clock(settings: Settings) -> Diagnosis:
    """Compare this machine's clock with the database's and with the newest entry of the audit log."""
    from aihub.store.access_tables import audit

    with _read(settings) as connection:
        newest = connection.scalar(sa.select(audit.c.at).order_by(audit.c.id.desc()).limit(1))
        now = datetime.now(UTC)
        theirs = now
        if connection.dialect.name == "postgresql":
            theirs = connection.scalar(sa.text("SELECT clock_timestamp()")) or now
    skew = abs(theirs - now)
    mend = "set the clocks by NTP (timedatectl set-ntp true)"
    if skew > MAX_SKEW:
        return Diagnosis("clock", f"{skew.total_seconds():.1f} s off the database's", mend)
    if newest is not None and newest - now > MAX_SKEW:
        return Diagnosis(
            "clock", f"behind the newest entry of the audit log ({newest:%Y-%m-%d %H:%M:%S})", mend
        )
    return Diagnosis("clock", f"{skew.total_seconds():.1f} s off the database's")


def isolation(settings: Settings) -> Diagnosis:
    """See whether row-level security, the second line between tenants, holds for the role that the hub connects as."""
    from aihub.store.isolation import is_bypassed

    with _read(settings) as connection:
        if connection.dialect.name != "postgresql":
            return Diagnosis("tenants", "kept apart by every query; SQLite has no second line")
        if not is_bypassed(connection):
            return Diagnosis("tenants", "kept apart by every query and by row-level security")
        role = connection.scalar(sa.text("SELECT current_user"))
    mend = f'connect as another role, or: ALTER ROLE "{role}" NOSUPERUSER NOBYPASSRLS'
    return Diagnosis("tenants", f"role {role!r} passes over row-level security", mend, is_fatal=False)


def workers(settings: Settings) -> Diagnosis:
    """Count the workers that were seen lately, and the jobs that wait for one."""
    from aihub.store.job_tables import jobs
    from aihub.store.job_tables import workers as rows

    since = datetime.now(UTC) - WORKER_SILENT
    with _read(settings) as connection:
        seen = connection.scalar(sa.select(sa.func.count()).where(rows.c.seen_at > since)) or 0
        waiting = connection.scalar(sa.select(sa.func.count()).where(jobs.c.state == "queued")) or 0
    found = f"{seen} seen within a minute, {waiting} job{'' if waiting == 1 else 's'} queued"
    if waiting and not seen:
        return Diagnosis("workers", found, "start one: aihub worker, or aihub up", is_fatal=False)
    return Diagnosis("workers", found)


def audit_key(settings: Settings) -> Diagnosis:
    """Check that the audit log is written with the key that is configured here, and that its triggers are there."""
    from aihub.settings import DEFAULT_TENANT
    from aihub.store.audit import AuditLog

    log = AuditLog(settings.read_audit_key())
    with _read(settings) as connection:
        if not _is_append_only(connection):
            mend = (
                "find out who took them away: aihub audit verify --against CHECKPOINTS; then restore a copy"
            )
            return Diagnosis("audit", "its triggers against changes are gone", mend)
        if log.holds_key(connection, tenant=DEFAULT_TENANT):
            return Diagnosis("audit", "written with the key of this machine")
    mend = "set AIHUB_AUDIT_KEY or AIHUB_AUDIT_KEY_FILE to the key of the other processes; aihub audit verify says more"
    return Diagnosis("audit", "written with another key", mend)


def _is_append_only(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        return set(connection.scalars(sa.text(query))) >= {
            "audit_no_update",
            "audit_no_delete",
            "audit_no_replace",
        }
    query = (
        "SELECT tgenabled FROM pg_trigger WHERE tgname = 'audit_append_only' AND tgrelid = 'audit'::regclass"
    )
    return connection.scalar(sa.text(query)) in ("O", "A")


def notifications(settings: Settings) -> Diagnosis:
    """Read the routes of the notifications; nobody is told anything (aihub notify test does that)."""
    from aihub.notify.config import load

    try:
        config = load(settings.notify_file)
    except AIHubError as error:
        return Diagnosis("notify", str(error), "correct the file of AIHUB_NOTIFY_FILE")
    if not config.routes:
        return Diagnosis("notify", "nobody is told anything")
    return Diagnosis("notify", f"{len(config.channels)} channels, {len(config.routes)} routes")


def mlflow(settings: Settings) -> Diagnosis:
    """Ask MLflow whether it is there; it is only mirrored to, and the hub works without it and catches up."""
    import httpx

    from aihub.settings import MLFLOW_OFF

    uri = settings.mlflow_uri
    shown = uri.partition("@")[2] or uri
    if uri == MLFLOW_OFF or not uri.startswith(("http://", "https://")):
        return Diagnosis("mlflow", shown)
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=MLFLOW_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        mend = "start it, or correct AIHUB_MLFLOW_TRACKING_URI; the hub goes on and catches up"
        return Diagnosis("mlflow", f"{shown} does not answer ({type(error).__name__})", mend, is_fatal=False)
    if answer.is_success:
        return Diagnosis("mlflow", f"{shown} answers")
    mend = "look at its log; the hub goes on and catches up"
    return Diagnosis("mlflow", f"{shown} answers {answer.status_code}", mend, is_fatal=False)


@contextmanager
def _read(settings: Settings) -> Iterator[Connection]:
    from aihub.store import engine as engines

    engine = engines.create(settings.store_url, journal=settings.sqlite_journal)
    try:
        with engines.read(engine, tenant=engines.EVERY_TENANT) as connection:
            yield connection
    finally:
        engine.dispose()
