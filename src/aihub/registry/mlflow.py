"""MLflow as a mirror: every version with its lineage and native flavour, every champion as an alias.

The hub's own tables are the truth; this carries out what the outbox asks for, whenever MLflow answers. Importing
MLflow and creating its tables takes seconds, so the command line and the hub do it in a process of its own
(`start`). Nothing of the hub ever waits for it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.errors import AIHubError, ArtifactError, InputError
from aihub.registry.artifacts import SUFFIX, ArtifactStore
from aihub.registry.backing import backing_of
from aihub.registry.boosters import native_bytes, parse
from aihub.registry.native import lightgbm_text
from aihub.registry.registry import ALIAS_TOPIC, VERSION_TOPIC, Registry
from aihub.settings import DEFAULT_TENANT, MLFLOW_OFF, from_environment
from aihub.store import outbox
from aihub.store.audit import AuditLog
from aihub.store.engine import create, read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aihub.registry.records import Version
    from aihub.settings import Settings
    from aihub.store.outbox import Entry

EXPERIMENT = "aihub"
UID_TAG = "aihub.uid"
STATUS_TAG = "aihub.status"
TOPICS = "mlflow."
"""Beginning of the topics that are carried out here."""
STAGES = {"production": "production", "staging": "staging"}
"""Stages of the old model of MLflow, in lower case, and the alias that each has become."""
MAX_PARAM = 6000
MAIN_BOOSTERS = ("level", "point", "model")
"""Names of the booster that answers, among those that only bound or correct it."""
_ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """What one attempt has done.

    Attributes
    ----------
    done, pending
        Effects carried out now, and those still due.
    error
        Why the attempt stopped early; empty where it did not.
    """

    done: int
    pending: int
    error: str = ""


def alias_of(stage: str) -> str:
    """Return the alias that stands for a stage: ``Production`` is the alias ``production``.

    Raises
    ------
    InputError
        The stage is not known.
    """
    alias = STAGES.get(stage.lower())
    if alias is None:
        raise InputError(f"stage {stage[:40]!r} is not 'Production' or 'Staging'")
    return alias


def start(settings: Settings, *, tenant: str = DEFAULT_TENANT) -> subprocess.Popen[bytes] | None:
    """Start a process that gets MLflow ready, waits, and brings it up to date; None where the mirror is off.

    Called before training it pays for MLflow's import and tables while something else happens. It goes to work when
    its standard input is closed: `process.communicate(timeout=...)` does that and returns one line of JSON, the
    `SyncResult`. After a timeout, or when the caller has ended, it finishes by itself.
    """
    if settings.mlflow_uri == MLFLOW_OFF:
        return None
    environment = {
        **os.environ,
        **_ENVIRONMENT,
        "AIHUB_HOME": str(settings.home),
        "AIHUB_DATABASE_URL": settings.store_url,
        "AIHUB_MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "AIHUB_MLFLOW_TIMEOUT_S": str(settings.mlflow_timeout_s),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "aihub.registry.mlflow", "--wait", "--tenant", tenant],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sync(
    settings: Settings,
    *,
    now: datetime,
    tenant: str = DEFAULT_TENANT,
    when_ready: Callable[[], object] | None = None,
) -> SyncResult:
    """Carry out what the outbox asks for, oldest first; stop at the first effect that fails. Idempotent.

    Each effect is keyed by a uid that MLflow keeps as a tag, so an attempt that died between MLflow's answer and our
    note of it does nothing twice; processes that sync at once take turns. Never raises because MLflow is away: the
    result says so. Where nothing is due MLflow is not even imported.

    Parameters
    ----------
    when_ready
        Called once MLflow is imported and its tables exist, before the outbox is read.
    """
    if settings.mlflow_uri == MLFLOW_OFF:
        return SyncResult(done=0, pending=0)
    engine = create(settings.store_url, journal=settings.sqlite_journal)
    store = ArtifactStore(settings.artifacts_dir, backing_of(settings, "artifacts"))
    registry = Registry(engine, store, AuditLog(settings.read_audit_key()), tenant)
    done, error = 0, ""
    try:
        client = None
        if when_ready is not None:
            with _turn(settings.home):
                client = _connect(settings)
            when_ready()
        with _turn(settings.home):
            for entry in _due(registry):
                client = client or _connect(settings)
                error = _attempt(registry, client, entry, now)
                if error:
                    break
                done += 1
    except Exception as failure:  # noqa: BLE001 - MLflow and what lies under it raise anything when they are away
        error = f"{type(failure).__name__}: {failure}"[:500]
    try:
        return SyncResult(done=done, pending=len(_due(registry)), error=error)
    finally:
        engine.dispose()


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """Let one process of this machine at a time create MLflow's tables and carry out effects."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _due(registry: Registry) -> list[Entry]:
    with read(registry.engine, tenant=registry.tenant) as connection:
        return outbox.pending(connection, tenant=registry.tenant, prefix=TOPICS, limit=1000)


def _attempt(registry: Registry, client: _Client, entry: Entry, now: datetime) -> str:
    effects: dict[str, Callable[[Registry, _Client, Mapping[str, Any]], None]] = {
        VERSION_TOPIC: _mirror_version,
        ALIAS_TOPIC: _mirror_alias,
    }
    try:
        effects[entry.topic](registry, client, entry.payload)
    except Exception as failure:  # noqa: BLE001 - as in sync: noted with the effect, which stays due
        error = f"{type(failure).__name__}: {failure}"[:500]
        with write(registry.engine, tenant=registry.tenant) as connection:
            outbox.fail(connection, entry_id=entry.id, error=error)
        return error
    with write(registry.engine, tenant=registry.tenant) as connection:
        outbox.finish(connection, entry_id=entry.id, now=now)
    return ""


@dataclass(frozen=True)
class _Client:
    tracking: Any
    store: Any
    experiment: str


def _connect(settings: Settings) -> _Client:
    """Import MLflow quietly and open its stores; creates its tables where they are missing."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(math.ceil(settings.mlflow_timeout_s)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - 1 to 3 s of processor time

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        settings.home.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            experiment = found.experiment_id
        else:
            # A server knows its own place for files; without one they lie beside the database.
            is_embedded = settings.mlflow_uri.startswith("sqlite:")
            location = (settings.home / "mlartifacts").as_uri() if is_embedded else None
            experiment = client.create_experiment(EXPERIMENT, artifact_location=location)
        # The client's own call for an alias first loads every version of the model; the store's does not.
        store = client._get_registry_client().store  # noqa: SLF001 - as above
    return _Client(client, store, experiment)


def _mirror_version(registry: Registry, client: _Client, payload: Mapping[str, Any]) -> None:
    version = next(v for v in registry.versions(payload["model"]) if v.uid == payload["uid"])
    number = _mirrored(client, version.model, version.uid)
    if number is not None:
        # A later validation has changed its state.
        status = version.status.value
        client.tracking.set_model_version_tag(version.model, number, STATUS_TAG, status)
        return
    run = _run(client, version)
    with tempfile.TemporaryDirectory(prefix="aihub-mlflow-") as folder:
        has_flavour = write_flavour(registry, version, Path(folder))
        client.tracking.log_artifacts(run.info.run_id, folder, "model")
    client.tracking.set_terminated(run.info.run_id)
    _ensure_model(client, version.model)
    source = f"{run.info.artifact_uri}/model" if has_flavour else run.info.artifact_uri
    client.tracking.create_model_version(
        version.model,
        source,
        run.info.run_id,
        tags=_tags(version),
        description=f"{version.semantic} by the AI Hub",
    )


def _ensure_model(client: _Client, name: str) -> None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - loaded already

    try:
        client.tracking.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _run(client: _Client, version: Version) -> Any:
    """Return the run of a version: the one that an attempt before has left, or a new one."""
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - loaded already

    found = client.tracking.search_runs(
        [client.experiment], f"tags.`{UID_TAG}` = '{version.uid}'", max_results=1
    )
    if found:
        return found[0]
    run = client.tracking.create_run(
        client.experiment, run_name=f"{version.model} {version.semantic}", tags=_tags(version)
    )
    stamp = int(version.created_at.timestamp() * 1000)
    metrics = [
        Metric(name, value, stamp, 0)
        for name, value in sorted(version.metrics.items())
        if math.isfinite(value)
    ]
    params = [
        Param(name, (value if isinstance(value, str) else json.dumps(value))[:MAX_PARAM])
        for name, value in sorted(version.lineage.config.items())
        if value is not None
    ]
    tags = [RunTag(f"aihub.package.{name}", value) for name, value in version.lineage.packages.items()]
    client.tracking.log_batch(run.info.run_id, metrics=metrics, params=params, tags=tags)
    return run


def _tags(version: Version) -> dict[str, str]:
    lineage = version.lineage
    tags = {
        UID_TAG: version.uid,
        "aihub.number": str(version.number),
        "aihub.version": str(version.semantic),
        STATUS_TAG: version.status.value,
        "aihub.kind": version.kind,
        "aihub.digest": version.digest,
        "aihub.config_hash": lineage.config_hash,
        "aihub.data_sha256": str(lineage.data.get("sha256", "")),
        "aihub.requested_by": lineage.requested_by,
    }
    if version.git_commit:
        tags |= {
            "mlflow.source.git.commit": version.git_commit,
            "aihub.git_dirty": str(lineage.git_dirty).lower(),
        }
    return tags


def write_flavour(registry: Registry, version: Version, folder: Path) -> bool:
    """Write the artefact and, where there is a booster, an ``MLmodel`` that MLflow's own loaders read.

    Returns
    -------
    bool
        Whether there is a native flavour: of the main booster, else the first by name, with its own feature names as signature.
    """
    path = registry.artifact_path(version)
    (folder / f"{version.model}{SUFFIX}").write_bytes(path.read_bytes())
    files = registry.artifacts.get(version.digest).files
    for name, content in sorted(
        files.items(), key=lambda file: (Path(file[0]).stem not in MAIN_BOOSTERS, file[0])
    ):
        if not name.endswith((".txt", ".ubj")):
            continue
        try:
            model = parse(content)
        except ArtifactError:
            continue
        is_lightgbm = isinstance(model, lightgbm_text.LightGbmModel)
        file = "model.lgb" if is_lightgbm else "model.ubj"
        (folder / file).write_bytes(native_bytes(model))
        _write_mlmodel(folder, file, model.feature_names, version, is_lightgbm=is_lightgbm)
        return True
    return False


def _write_mlmodel(
    folder: Path, file: str, names: tuple[str, ...], version: Version, *, is_lightgbm: bool
) -> None:
    from mlflow.models import Model  # noqa: PLC0415 - loaded already
    from mlflow.models.signature import ModelSignature  # noqa: PLC0415 - as above
    from mlflow.types import ColSpec, DataType, Schema  # noqa: PLC0415 - as above

    inputs = Schema([ColSpec(DataType.double, name) for name in names]) if names else None
    signature = ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.double)])) if inputs else None
    library = "lightgbm" if is_lightgbm else "xgboost"
    packages = version.lineage.packages
    number = packages.get(library) or packages.get(f"{library}-cpu", "")
    model = Model(signature=signature, metadata={UID_TAG: version.uid, "aihub.digest": version.digest})
    model.add_flavor(
        "python_function",
        loader_module=f"mlflow.{library}",
        data=file,
        python_version=packages.get("python", ""),
        env={"virtualenv": "python_env.yaml"},
    )
    if is_lightgbm:
        model.add_flavor(
            "lightgbm", lgb_version=number, data=file, model_class="lightgbm.basic.Booster", code=None
        )
    else:
        model.add_flavor(
            "xgboost",
            xgb_version=number,
            data=file,
            model_class="xgboost.core.Booster",
            model_format="ubj",
            code=None,
        )
    model.save(str(folder / "MLmodel"))
    pinned = f"{library}=={number}" if number else library
    (folder / "requirements.txt").write_text(f"{pinned}\n")
    (folder / "python_env.yaml").write_text(
        f"python: {packages.get('python', '3.11')}\ndependencies:\n- -r requirements.txt\n"
    )


def _mirrored(client: _Client, model: str, uid: str) -> str | None:
    """Return MLflow's number of a version of ours, None where it is not there."""
    found = client.tracking.search_model_versions(
        f"name = '{model}' and tags.`{UID_TAG}` = '{uid}'", max_results=1
    )
    return str(found[0].version) if found else None


def _mirror_alias(registry: Registry, client: _Client, payload: Mapping[str, Any]) -> None:
    """Point the alias of an environment to its present champion, whatever has happened since the order was written."""
    model, environment = payload["model"], payload["environment"]
    champion = registry.champion(model, environment)
    if champion is None:
        return
    number = _mirrored(client, model, champion.uid)
    if number is None:
        # Versions come before aliases in the outbox; a newer champion has its own order behind this one.
        return
    client.store.set_registered_model_alias(model, environment, number)


def main(arguments: list[str] | None = None) -> int:
    """Bring MLflow up to date once; print the result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m aihub.registry.mlflow", description=main.__doc__)
    parser.add_argument("--tenant", default=DEFAULT_TENANT)
    parser.add_argument(
        "--wait", action="store_true", help="get ready, then wait until standard input is closed"
    )
    given = parser.parse_args(arguments)
    when_ready = sys.stdin.read if given.wait else None
    try:
        result = sync(from_environment(), tenant=given.tenant, now=datetime.now(UTC), when_ready=when_ready)
    except AIHubError as error:
        sys.stdout.write(json.dumps({"done": 0, "pending": 0, "error": str(error)}) + "\n")
        return error.exit_code
    sys.stdout.write(json.dumps(vars(result)) + "\n")
    return 0 if not result.error else 3


if __name__ == "__main__":
    sys.exit(main())
