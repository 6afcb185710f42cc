"""A fleet without a shared folder: every machine has a home of its own; they share one database and one bucket."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import lightgbm
import numpy as np
import pytest

from aihub import asgi
from aihub.delivery import jobs, slots
from aihub.delivery.jobs import JobState
from aihub.delivery.worker import Worker
from aihub.registry import objects
from aihub.registry.artifacts import ArtifactStore
from aihub.registry.intake import take_in
from aihub.registry.lineage import collect
from aihub.serving import pool as serving
from aihub.store.engine import read
from aihub.training.synthetic import generate_forecast_data
from aihub.types import Role
from buckets import wire_to
from databases import lay_tables, sqlite_at
from deliveries import job, wait_for
from hubs import NOW, Api, give_key, made_hub, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from aihub.hub import Hub
    from buckets import TrialBucket, Wire

CSV = b"timestamp,load\n2024-01-01,1\n"
RECORD = {"temperature": 20.0, "humidity": 50.0}
CONFIG = {
    "model_type": "forecast",
    "algorithm": "lgbm",
    "target": "load",
    "features": ["temperature", "humidity"],
    "hyperparameters": {"n_estimators": 40},
    "backtest_folds": 0,
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRY_FOR_S", 0.3)
    monkeypatch.setattr(objects, "AWAY_S", 0.05)
    monkeypatch.setattr(slots, "STORE_PAUSE_S", 0.2)
    monkeypatch.setattr(serving, "AGAIN_S", 0.2)


@dataclass
class Machine:
    """A hub with a home of its own, and its way to the bucket."""

    hub: Hub
    wire: Wire

    @contextmanager
    def api(self, principal: str = "ann") -> Iterator[Api]:
        """What `aihub serve` does on this machine, called with a key."""
        pool = self.hub.serving_pool()
        pool.start()
        try:
            with (
                served(asgi.build(self.hub, pool=pool)) as url,
                httpx.Client(base_url=url, timeout=60) as http,
            ):
                yield Api(self.hub, http, give_key(self.hub, principal))
        finally:
            pool.stop()

    @contextmanager
    def working(self) -> Iterator[None]:
        """What `aihub worker` does on this machine."""
        worker = Worker(self.hub, concurrency=1, grace_s=0.2, periodics=())
        worker.start()
        try:
            yield
        finally:
            worker.stop()

    def copies(self) -> list[Path]:
        """Files of artefacts and data sets on this machine that somebody could take for whole."""
        found = (self.hub.settings.home / "cache").rglob("*")
        return [path for path in found if path.is_file() and not path.name.startswith(".")]


@pytest.fixture
def machine(bucket: TrialBucket, tmp_path: Path) -> Iterator[Callable[[Engine, str], Machine]]:
    """Make a machine with a name; the same name again is the same home after a restart."""
    with ExitStack() as stack:

        def make(database: Engine, name: str) -> Machine:
            wire = stack.enter_context(wire_to(bucket.endpoint))
            given = {
                variable.removeprefix("AIHUB_").lower(): value
                for variable, value in bucket.environ(wire.url).items()
                if variable != "AIHUB_AUDIT_KEY"
            }
            return Machine(stack.enter_context(made_hub(database, tmp_path / name, **given)), wire)

        yield make


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """One database that two processes of this machine share, as two machines share PostgreSQL."""
    lay_tables(tmp_path / "monitoring.db")
    engine = sqlite_at(tmp_path / "hub.db")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model from outside, in the hub's own form."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2))
    data = lightgbm.Dataset(rows, rows[:, 0] * 2, feature_name=["temperature", "humidity"])
    params = {"verbose": -1, "num_threads": 1, "deterministic": True}
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.txt").write_text(str(lightgbm.train(params, data, num_boost_round=5).model_to_string()))
    store = ArtifactStore(folder / "store")
    taken = take_in(store, folder / "model.txt", model="load", requested_by="ann", now=NOW)
    return store.path(taken.artifact.digest).read_bytes()


def put_into_staging(hub: Hub, artifact: bytes) -> str:
    lineage = collect(
        {"model_type": "forecast", "target": "load"}, {"sha256": "0" * 64}, requested_by="ann", now=NOW
    )
    digest = hub.artifacts.put(artifact)
    hub.registry.register_version(
        "load", digest, lineage, status="candidate", actor="ann", now=NOW, report={"passed": True}
    )
    hub.registry.deploy("load", 1, environment="staging", actor="ann", reason="first", now=NOW)
    return digest


def predict(api: Api, environment: str = "staging", **given: str) -> Any:
    return api.post(f"/models/load/predict?environment={environment}", {"records": [{**RECORD, **given}]})


def holds_only_whole_files(bucket: TrialBucket) -> bool:
    """Whether everything in the bucket is what its name says."""
    return all(
        hashlib.sha256(bucket.read(key)).hexdigest() == key.rpartition("/")[2].partition(".")[0]
        for key in bucket.names()
    )


def test_served_elsewhere_and_started_again_while_the_bucket_is_away(
    sqlite: Engine, machine: Callable[..., Machine], artifact: bytes
) -> None:
    digest = put_into_staging(machine(sqlite, "one").hub, artifact)
    two = machine(sqlite, "two")
    with two.api() as api:
        answer = predict(api)
        assert answer.status_code == 200, answer.text
        assert two.hub.artifacts.path(digest).is_relative_to(two.hub.settings.home)
    again = machine(sqlite, "two")
    again.wire.cut()
    with again.api("bob") as api:
        assert {**predict(api).json(), "ids": []} == {**answer.json(), "ids": []}
    assert again.wire.connections == 0


def test_cold_start_without_bucket_says_so_and_comes_up_with_it(
    sqlite: Engine, machine: Callable[..., Machine], artifact: bytes
) -> None:
    put_into_staging(machine(sqlite, "one").hub, artifact)
    new = machine(sqlite, "new")
    new.wire.cut()
    with new.api() as api:
        refused = predict(api)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert "does not answer" in refused.json()["detail"]
        assert new.copies() == []
        new.wire.answer_bytes = 2000
        new.wire.is_cut = False
        wait_for(lambda: new.wire.connections > 3)
        assert new.copies() == []
        new.wire.mend()
        wait_for(lambda: predict(api).status_code == 200)


def test_upload_that_does_not_reach_the_bucket_is_no_data_set(
    sqlite: Engine, machine: Callable[..., Machine], bucket: TrialBucket
) -> None:
    one = machine(sqlite, "one")
    with one.api() as api:
        one.wire.cut()
        refused = api.post("/ai/datasets?name=load.csv", content=CSV)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert api.get("/ai/datasets").json()["items"] == []
        one.wire.mend()
        wait_for(lambda: api.post("/ai/datasets?name=load.csv", content=CSV).status_code == 201)
    assert len(bucket.names()) == 1
    assert holds_only_whole_files(bucket)


@pytest.mark.slow
@pytest.mark.postgres
def test_trained_on_one_machine_released_by_another(
    postgresql: Engine, machine: Callable[..., Machine], bucket: TrialBucket
) -> None:
    """The bucket is away for a while before the training: nothing is trained for nothing, and nobody has to look after it."""
    trainer, other = machine(postgresql, "trainer"), machine(postgresql, "other")
    table = generate_forecast_data(2000, seed=7).write_csv().encode()
    with other.api("boss") as api:
        data = api.post("/ai/datasets?name=load.csv", content=table).json()["dataset_id"]
        body = {"name": "load", "model_type": "forecast", "config": CONFIG, "data": {"dataset_id": data}}
        made = Api(other.hub, api.http, give_key(other.hub, "ci", Role.TRAINER)).post(
            "/ai/training/jobs", body
        )
        assert made.status_code == 201, made.text
        uid = made.json()["job_id"]

        trainer.wire.cut()
        with trainer.working():
            wait_for(lambda: any("tried again" in line for line in log_of(trainer.hub, uid)))
            assert trainer.copies() == []
            trainer.wire.mend()
            wait_for(lambda: job(postgresql, uid).state is JobState.WAITING, within_s=120)
        assert [path for path in trainer.copies() if "fetched" in path.parts or ".work" in path.parts] == []

        trainer.wire.cut()
        (approval,) = api.get("/approvals").json()["items"]
        decided = api.post(f"/approvals/{approval['id']}/decision", {"decision": "approve", "reason": "good"})
        assert decided.status_code == 200, decided.text
        with other.working():
            wait_for(lambda: job(postgresql, uid).state is JobState.COMPLETED, within_s=60)
        wait_for(lambda: predict(api, "production", timestamp="2024-12-01T12:00:00Z").status_code != 503)
        answer = predict(api, "production", timestamp="2024-12-01T12:00:00Z")
        assert answer.status_code == 200, answer.text
        assert api.get("/audit/verify").json()["is_intact"] is True
    assert holds_only_whole_files(bucket)
    assert len(bucket.names()) == 2


def log_of(hub: Hub, uid: str) -> list[str]:
    with read(hub.engine, tenant="default") as connection:
        return [line.message for line in jobs.logs(connection, jobs.get(connection, uid, tenant="default"))]
