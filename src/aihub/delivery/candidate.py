"""The heavy half of a delivery: from a spec and a file to a packed model and the gate's report on it.

It reads no database and writes nothing but the artefact, which is named by its content: a job does it in a process of its
own that can be killed at any moment. The artefact that will serve is what the gate judges: it is packed first, then
read back and asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aihub.delivery import specification
from aihub.delivery.progress import Listener, Remark, step
from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.lineage import Lineage
    from aihub.registry.records import Deployment, Version
    from aihub.registry.stored import GateKnowledge
    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.spec import ModelSpec
    from aihub.training.trainer import TrainingResult
    from aihub.types import Predictor
    from aihub.validation.results import ValidationReport


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """The champion, as far as a newcomer is compared with it; JSON-able by `vars`."""

    label: str
    digest: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    sequence: int

    @classmethod
    def of(cls, version: Version, serving: Deployment) -> Incumbent:
        """Return what counts of the version that serves."""
        return cls(
            label=str(version),
            digest=version.digest,
            config=dict(version.lineage.config),
            metrics=dict(version.metrics),
            sequence=serving.sequence,
        )


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be made.

    Attributes
    ----------
    data_name
        Name of the data for the report; empty: that of the file.
    git
        Commit that it is made from, and whether the folder had other changes.
    """

    spec: ModelSpec
    data: Path
    requested_by: str
    now: datetime
    data_name: str = ""
    git: tuple[str | None, bool | None] = (None, None)
    incumbent: Incumbent | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A packed model and the gate's report on it."""

    digest: str
    report: ValidationReport
    training: TrainingResult
    table: PreparedTable
    lineage: Lineage


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """A trained model on its way to the gate, with everything that the gate looks at."""

    task: Task
    table: PreparedTable
    training: TrainingResult
    knowledge: GateKnowledge
    lineage: Lineage


def make(task: Task, artifacts: ArtifactStore, listener: Listener) -> Candidate:
    """Read, train, pack and validate. Writes the artefact.

    Raises
    ------
    DataError, ConfigError
        The file or the spec cannot be used; nothing was written.
    """
    trained = _trained(task, listener)
    with step("package", listener) as packing:
        digest = _pack(trained, artifacts)
        path = artifacts.path(digest)
        packing.note = f"sha256 {digest[:12]}, {path.stat().st_size / 1e6:.1f} MB"
    report = _validate(trained, path, artifacts, listener)
    return Candidate(
        digest=digest, report=report, training=trained.training, table=trained.table, lineage=trained.lineage
    )


def _trained(task: Task, listener: Listener) -> _Trained:
    config = task.spec.training
    # A wrong threshold or hyperparameter is found before minutes of reading and training, not after.
    specification.check(task.spec)
    table = _read(task, listener)
    training = _train(config, table, listener)
    return _Trained(
        task=task,
        table=table,
        training=training,
        knowledge=_knowledge(config, training),
        lineage=_lineage(task, table),
    )


def _read(task: Task, listener: Listener) -> PreparedTable:
    from aihub.training.data import load

    with step("read data", listener) as reading:
        table = load(task.data, task.spec.training)
        # In the zone of the data: its first day is not the day before for those who live there.
        zone = ZoneInfo(task.spec.training.time_zone or "UTC")
        first, last = (end.astimezone(zone) for end in (table.fingerprint.start, table.fingerprint.end))
        span = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        series = f", {len(table.series)} series" if table.series else ""
        reading.note = f"{table.fingerprint.rows:,} rows{series}, {span}"
    for note in table.notes:
        listener(Remark(note.message))
    return table


def _train(config: TrainingConfig, table: PreparedTable, listener: Listener) -> TrainingResult:
    from aihub.training.trainer import train

    with step(f"train {config.algorithm}", listener) as training:
        result = train(config, table, on_progress=lambda stage, done: training.advance(done, stage))
        shown = [f"{name} {value:.4g}" for name, value in list(result.metrics.items())[:3]]
        training.note = ", ".join(shown)
    for note in result.notes:
        listener(Remark(note))
    return result


def _lineage(task: Task, table: PreparedTable) -> Lineage:
    from aihub.registry.lineage import collect

    return collect(
        task.spec.training.model_dump(mode="json"),
        table.fingerprint.to_dict(),
        requested_by=task.requested_by,
        now=task.now,
        git=task.git,
    )


def _knowledge(config: TrainingConfig, training: TrainingResult) -> GateKnowledge:
    """Summarise the training rows, so that later data can be compared with them when they are gone."""
    from aihub.registry.stored import GateKnowledge, importance_of_columns
    from aihub.validation.drift import fit_references
    from aihub.validation.frames import columns
    from aihub.validation.profile import Profile, ProfileSpec
    from aihub.validation.vectors import timestamps_utc

    features = _features(config, training)
    rows = training.train_frame
    spec = ProfileSpec(columns=features, timestamp=config.timestamp, time_zone=config.calendar_zone)
    table = columns(rows.select(config.timestamp, *features))
    stamps = timestamps_utc(table[config.timestamp], config.timestamp)
    return GateKnowledge(
        training_profile=Profile.of(rows, spec).to_bytes(),
        feature_importance=importance_of_columns(training.importances, features),
        drift_references=fit_references(
            stamps, {name: table[name] for name in features}, time_zone=config.calendar_zone
        ),
    )


def _pack(trained: _Trained, artifacts: ArtifactStore) -> str:
    from aihub.registry.artifacts import Manifest, pack

    model, lineage = trained.training.model, trained.lineage
    # Who asked and when is the version's business: without them the same data, code and config give the same digest.
    origin = {
        key: value for key, value in lineage.to_dict().items() if key not in {"requested_by", "created_at"}
    }
    manifest = Manifest(
        kind=model.kind, name=trained.task.spec.name, lineage=origin, environment=dict(lineage.packages)
    )
    files = {**model.to_files(), **trained.knowledge.to_files()}
    return artifacts.put(pack(files, manifest))


def _validate(
    trained: _Trained, path: Path, artifacts: ArtifactStore, listener: Listener
) -> ValidationReport:
    import polars as pl

    from aihub.validation.validator import ModelValidator

    task, table, training = trained.task, trained.table, trained.training
    config = task.spec.training
    champion = task.incumbent
    obstacle = None if champion is None else _obstacle(champion, config, table, artifacts)
    can_compare = champion is not None and obstacle is None
    if champion is not None and obstacle is not None:
        listener(Remark(f"{champion.label} {obstacle}: compared by its metrics only"))
    with step("validate", listener) as validating:
        validator = ModelValidator(
            config.model_type, spec=task.spec.validation, loader=partial(_load, own=path)
        )
        report = validator.validate_model(
            path,
            training.holdout.filter(pl.col(config.target).is_not_null()),
            config.target,
            history=table.frame,
            champion=artifacts.path(champion.digest) if champion and can_compare else None,
            baseline_metrics=baseline_of(champion) if champion and not can_compare else None,
            reference=training.train_frame.select(
                config.timestamp,
                *([config.series_id] if config.series_id else []),
                *_features(config, training),
            ),
            now=task.now,
            seed=config.seed,
            context=_context(trained),
        )
        validating.note = "passed" if report.passed else f"FAILED: {report.failures[0]}"
    return report


def _load(path: str, *, own: Path, trust: bool) -> Predictor:  # noqa: ARG001 - artefacts of the hub hold no pickle
    """Read an artefact; what this very process packed a moment ago needs no trial in another one, as a champion does."""
    from aihub.registry.loading import load_stored

    return load_stored(path, is_tried=path == str(own))


def baseline_of(champion: Incumbent) -> dict[str, float]:
    """Metrics to keep up with; a bias is near zero by luck, and no tolerance in percent of it means anything."""
    return {name: value for name, value in champion.metrics.items() if name != "bias"}


def _features(config: TrainingConfig, training: TrainingResult) -> tuple[str, ...]:
    """Features of the configuration that the table kept."""
    return tuple(name for name in config.features if name in training.train_frame.columns)


def _obstacle(
    champion: Incumbent, config: TrainingConfig, table: PreparedTable, artifacts: ArtifactStore
) -> str | None:
    """Why the champion cannot be asked for the rows of `table`; None where it can."""
    if not _answers_same_rows(champion, config, table):
        return "needs other columns than this spec reads"
    try:
        artifacts.verify(champion.digest)
    except ArtifactError as error:
        # Training anew is how a damaged champion is mended.
        return f"cannot be read ({error})"
    return None


def _answers_same_rows(champion: Incumbent, config: TrainingConfig, table: PreparedTable) -> bool:
    """Whether the champion can be asked for the rows of `table`: same target and clock, and all its features there."""
    theirs = champion.config
    same = all(
        theirs.get(role) == getattr(config, role)
        for role in ("model_type", "target", "timestamp", "series_id")
    )
    return same and set(theirs.get("features", ())) <= set(table.frame.columns)


def _context(trained: _Trained) -> dict[str, Any]:
    task, table, training = trained.task, trained.table, trained.training
    return {
        "model": {
            "name": task.spec.name,
            "kind": training.model.kind,
            "algorithm": task.spec.training.algorithm,
        },
        "data": {"file": task.data_name or task.data.name, **table.fingerprint.to_dict()},
        "champion": task.incumbent.label if task.incumbent else None,
        "lineage": trained.lineage.to_dict(),
        "notes": [note.to_dict() for note in table.notes] + list(training.notes),
        "backtest": None if training.backtest is None else training.backtest.to_dict(),
    }
