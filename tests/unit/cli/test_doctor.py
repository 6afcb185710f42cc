from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from aihub.cli import doctor, examinations
from aihub.settings import from_environment
from aihub.store import schema
from aihub.store.access_tables import audit
from aihub.store.engine import EVERY_TENANT, create, write
from aihub.store.job_tables import jobs
from hubs import made_hub, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.cli.diagnosis import Diagnosis
    from aihub.hub import Hub
    from buckets import TrialBucket


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    engine = create(f"sqlite:///{tmp_path / 'hub.db'}")
    with made_hub(engine, tmp_path / "home") as found:
        yield found
    engine.dispose()


def settings(hub: Hub, **given: Any) -> Any:
    return hub.settings.model_copy(update=given)


def words(found: Diagnosis) -> tuple[str, str]:
    return found.word, found.mend


@pytest.mark.parametrize(
    "name",
    ["tables", "isolation", "files", "champions", "clock", "workers", "audit_key", "notifications", "mlflow"],
)
def test_a_healthy_hub_has_nothing_to_mend(hub: Hub, name: str) -> None:
    assert words(getattr(examinations, name)(hub.settings)) == ("ok", "")


def test_a_damaged_champion_is_named(hub: Hub) -> None:
    version = register(hub)
    hub.registry.deploy("load", 1, actor="ann", reason="first", now=datetime.now(UTC))
    assert examinations.champions(hub.settings).word == "ok"
    hub.registry.artifact_path(version).write_bytes(b"changed")
    found = examinations.champions(hub.settings)
    assert found.word == "broken"
    assert "default/load in production" in found.mend


def test_a_bucket_is_tried_out_and_what_is_wrong_is_said(hub: Hub, bucket: TrialBucket) -> None:
    given = {
        name.removeprefix("AIHUB_").lower(): value
        for name, value in bucket.environ().items()
        if "KEY" not in name
    }
    keys = {
        "s3_access_key_id": SecretStr(bucket.environ()["AIHUB_S3_ACCESS_KEY_ID"]),
        "s3_secret_access_key": SecretStr(bucket.environ()["AIHUB_S3_SECRET_ACCESS_KEY"]),
    }
    found = examinations.files(settings(hub, **given, **keys))
    assert (found.word, found.finding) == (
        "ok",
        f"s3://{bucket.name}/hub/artifacts and s3://{bucket.name}/hub/datasets",
    )
    assert bucket.names() == []
    missing = settings(hub, **{**given, **keys, "artifacts": "s3://not-there"})
    assert examinations.files(missing).word == "broken"
    assert "no such bucket" in examinations.files(missing).finding


def test_tables_of_other_versions_are_told_apart(tmp_path: Path, hub: Hub) -> None:
    empty = from_environment({}, home=tmp_path / "other", database_url=f"sqlite:///{tmp_path / 'empty.db'}")
    assert examinations.tables(empty).word == "note"
    for revision, word in (("9999", "broken"), ("0001", "note")):
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            connection.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'"))  # noqa: S608 - ours
        assert examinations.tables(hub.settings).word == word


@pytest.mark.postgres
def test_a_role_that_row_level_security_does_not_hold_is_a_note(
    postgresql: Engine, postgresql_url: str, tmp_path: Path
) -> None:
    held = postgresql.url.render_as_string(hide_password=False)
    superuser = sa.make_url(postgresql_url).set(database=postgresql.url.database)
    given = {"home": tmp_path, "mlflow_tracking_uri": "off"}
    good = from_environment({}, database_url=held, **given)
    assert words(examinations.isolation(good)) == ("ok", "")
    bad = from_environment({}, database_url=superuser.render_as_string(hide_password=False), **given)
    found = examinations.isolation(bad)
    assert (found.word, "NOBYPASSRLS" in found.mend, "'aihub'" in found.finding) == ("note", True, True)


def test_a_clock_that_went_back_is_noticed(hub: Hub) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        hub.audit.append(connection, tenant="default", actor="a", action="a.b", subject="x:y", now=later)
        assert connection.scalar(sa.select(sa.func.count()).select_from(audit))
    assert examinations.clock(hub.settings).word == "broken"


def test_jobs_without_a_worker_are_a_note(hub: Hub) -> None:
    now = datetime.now(UTC)
    row = {"uid": "j", "kind": "noop", "queue": "default", "priority": 1, "state": "queued", "payload": {}}
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.insert(jobs).values(**row, submitted_by="a", created_at=now, run_after=now))
    assert examinations.workers(hub.settings).word == "note"


def test_another_audit_key_and_a_broken_file_of_routes_are_named(hub: Hub, tmp_path: Path) -> None:
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        hub.audit.append(
            connection, tenant="default", actor="a", action="a.b", subject="x:y", now=datetime.now(UTC)
        )
    other = from_environment(
        {}, home=tmp_path, database_url=f"sqlite:///{tmp_path / 'hub.db'}", audit_key="z" * 32
    )
    assert examinations.audit_key(other).word == "broken"
    (tmp_path / "routes.yaml").write_text("channels: 3\n")
    assert examinations.notifications(settings(hub, notify_file=tmp_path / "routes.yaml")).word == "broken"


def test_an_mlflow_that_is_away_is_only_a_note(hub: Hub) -> None:
    found = examinations.mlflow(settings(hub, mlflow_tracking_uri="http://me:secret@127.0.0.1:9"))
    assert found.word == "note"
    assert "secret" not in found.finding


def test_an_audit_log_that_could_be_changed_is_broken(hub: Hub) -> None:
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        connection.execute(sa.text("DROP TRIGGER audit_no_update"))
    found = examinations.audit_key(hub.settings)
    assert (found.word, "aihub audit verify" in found.mend) == ("broken", True)


def test_models_of_every_tenant_are_counted(hub: Hub) -> None:
    register(hub)
    register(hub, tenant="acme")
    assert doctor.database(hub.settings).finding == "sqlite, 2 models"
