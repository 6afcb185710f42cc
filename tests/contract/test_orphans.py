"""Which objects of the bucket are named by rows, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aihub.delivery import datasets, orphans, steps
from aihub.delivery import lease as leases
from aihub.delivery.job_records import JobState
from aihub.delivery.queue import Queue
from aihub.registry import trash
from aihub.registry.artifacts import Manifest, pack
from aihub.store.engine import EVERY_TENANT, write
from deliveries import enqueue
from hubs import made_hub, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.delivery.lease import Lease
    from aihub.hub import Hub
    from buckets import TrialBucket

NOW = datetime.now(UTC)
MADE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def hub(database: Engine, tmp_path: Path) -> Iterator[Hub]:
    with made_hub(database, tmp_path / "home") as opened:
        yield opened


def validated(hub: Hub, digest: str) -> Lease:
    """A job that has made an artefact and not registered it yet."""
    enqueue(hub.engine, "default", kind="train")
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        (lease,) = Queue("w1", ("default",)).claim(connection, 1)
        steps.begin(connection, lease, "validate", now=NOW)
        steps.finish(connection, lease, "validate", now=NOW, output={"digest": digest})
    return lease


def upload(hub: Hub, content: bytes) -> str:
    with datasets.Intake(hub.settings, "t.csv") as intake:
        intake.write(content)
        stored = intake.finish()
    hub.dataset_backing.publish(stored.path, stored.digest)
    with write(hub.engine, tenant="north") as connection:
        given = {"tenant": "north", "name": "t.csv", "actor": "ann", "now": NOW, "audit": hub.audit}
        return datasets.record(connection, stored, **given).digest  # type: ignore[arg-type]


def test_artefacts_of_versions_and_of_jobs_under_way_are_named(hub: Hub) -> None:
    version = register(hub, tenant="north")
    lease = validated(hub, MADE)
    digests = [version.digest, MADE, OTHER]
    assert orphans.named_artifacts(hub.engine, digests) == {version.digest, MADE}
    assert orphans.named_artifacts(hub.engine, [OTHER]) == set()
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        leases.end(connection, lease, JobState.FAILED, now=NOW)
    assert orphans.named_artifacts(hub.engine, digests) == {version.digest}


def test_what_a_job_has_registered_is_named_by_its_version_alone(hub: Hub) -> None:
    lease = validated(hub, MADE)
    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        steps.begin(connection, lease, "register", now=NOW)
        steps.finish(connection, lease, "register", now=NOW, output={})
    assert orphans.named_artifacts(hub.engine, [MADE]) == set()


def test_data_sets_of_every_tenant_are_named(hub: Hub) -> None:
    digest = upload(hub, b"timestamp,load\n2024-01-01,1\n")
    assert orphans.named_datasets(hub.engine, [digest, OTHER]) == {digest}


def test_without_a_bucket_nothing_is_swept(hub: Hub) -> None:
    register(hub)
    assert orphans.sweep(hub, NOW + timedelta(days=1000)) == 0
    assert len(list(hub.artifacts.list())) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sweep_leaves_what_is_named(
    database: Engine, bucket: TrialBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "KEPT_FOR", timedelta(days=-1))
    names = ("artifacts", "s3_endpoint", "s3_region", "s3_access_key_id", "s3_secret_access_key")
    given = {name: bucket.environ()[f"AIHUB_{name.upper()}"] for name in names}
    with made_hub(database, tmp_path / "home", **given) as hub:
        register(hub)
        upload(hub, b"timestamp,load\n2024-01-01,1\n")
        named = bucket.names()
        orphan = hub.artifacts.put(pack({"model.json": b"[1]"}, Manifest(kind="forecast/1", name="lost")))
        assert len(bucket.names()) == 3
        assert orphans.sweep(hub, NOW) == 1
        assert [key for key in bucket.names() if ".trash" in key] == [
            f"hub/artifacts/.trash/{orphan[:2]}/{orphan}.aihub"
        ]
        assert orphans.sweep(hub, NOW) == 1
        assert bucket.names() == named
