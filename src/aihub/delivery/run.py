"""One delivery, from a spec and a file to a deployed model that answers.

The artefact that will serve is what the gate judges: it is packed first, then read back and asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.delivery.progress import Listener, Remark, ignore, step
from aihub.errors import AIHubError, ArtifactError, ConflictError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from aihub.registry.lineage import Lineage
    from aihub.registry.records import Deployment, Version
    from aihub.registry.registry import Registry
    from aihub.registry.stored import GateKnowledge
    from aihub.training.config import TrainingConfig
    from aihub.training.data import PreparedTable
    from aihub.training.spec import ModelSpec
    from aihub.training.trainer import TrainingResult
    from aihub.validation.results import ValidationReport


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes
    ----------
    spec, data
        What to train, and on which file.
    actor
        Who asks; kept in the lineage.
    now
        Time of the request, aware UTC.
    reports
        Folder below which the report's files are written.
    deploy
        Whether a version that passed its gate goes to production at once.
    """

    spec: ModelSpec
    data: Path
    actor: str
    now: datetime
    reports: Path
    deploy: bool = True


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What came of an order. A failed gate is one of the results, not an error.

    Attributes
    ----------
    withheld
        Why a version that passed was not deployed although the order said so; empty in all other cases.
    """

    version: Version
    report: ValidationReport
    training: TrainingResult
    table: PreparedTable
    deployment: Deployment | None = None
    withheld: str = ""
    report_files: dict[str, Path] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the gate is open."""
        return self.report.passed


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A trained model on its way to the gate, with everything that the gate compares it with."""

    order: Order
    table: PreparedTable
    training: TrainingResult
    knowledge: GateKnowledge
    lineage: Lineage
    champion: Version | None
    champion_sequence: int


def deliver(order: Order, registry: Registry, listener: Listener = ignore) -> Delivery:
    """Train, validate, register and, where the gate passed and the order says so, deploy.

    Writes the artefact, the version, the report's files and perhaps a deployment.

    Raises
    ------
    DataError, ConfigError
        The file or the spec cannot be used; nothing was written.
    """
    candidate = _candidate(order, registry, listener)
    with step("package", listener) as packing:
        digest = _pack(candidate, registry)
        path = registry.artifacts.path(digest)
        packing.note = f"sha256 {digest[:12]}, {path.stat().st_size / 1e6:.1f} MB"
    report = _validate(candidate, path, registry, listener)
    version = _register(candidate, digest, report, registry, listener)
    files = _write_reports(report, order.reports / order.spec.name / str(version.number))
    deployment, withheld = None, ""
    if report.passed and order.deploy:
        deployment, withheld = _deploy(candidate, version, registry, listener)
    return Delivery(
        version=version,
        report=report,
        training=candidate.training,
        table=candidate.table,
        deployment=deployment,
        withheld=withheld,
        report_files=files,
    )


def _candidate(order: Order, registry: Registry, listener: Listener) -> _Candidate:
    from aihub.training.algorithms import ALGORITHMS
    from aihub.validation.settings import resolve

    config = order.spec.training
    # A wrong threshold or hyperparameter is found before minutes of reading and training, not after.
    ALGORITHMS.get(config.algorithm).check(config.hyperparameters)
    resolve(config.model_type, spec=order.spec.validation)
    table = _read(order, listener)
    training = _train(config, table, listener)
    serving = registry.serving(order.spec.name)
    return _Candidate(
        order=order,
        table=table,
        training=training,
        knowledge=_knowledge(config, training),
        lineage=_lineage(order, table),
        champion=registry.version(order.spec.name, serving.version) if serving else None,
        champion_sequence=serving.sequence if serving else 0,
    )


def _read(order: Order, listener: Listener) -> PreparedTable:
    from aihub.training.data import load

    with step("read data", listener) as reading:
        table = load(order.data, order.spec.training)
        span = f"{table.fingerprint.start:%Y-%m-%d} to {table.fingerprint.end:%Y-%m-%d}"
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


def _lineage(order: Order, table: PreparedTable) -> Lineage:
    from pathlib import Path

    from aihub.registry.lineage import collect

    return collect(
        order.spec.training.model_dump(mode="json"),
        table.fingerprint.to_dict(),
        requested_by=order.actor,
        now=order.now,
        folder=Path.cwd(),
    )


def _knowledge(config: TrainingConfig, training: TrainingResult) -> GateKnowledge:
    """Summarise the training rows, so that later data can be compared with them when they are gone."""
    from aihub.registry.stored import GateKnowledge, importance_of_columns
    from aihub.validation.drift import fit_references
    from aihub.validation.frames import columns, timestamps_utc
    from aihub.validation.profile import Profile, ProfileSpec

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


def _pack(candidate: _Candidate, registry: Registry) -> str:
    from aihub.registry.artifacts import Manifest, pack

    model, lineage = candidate.training.model, candidate.lineage
    # Who asked and when is the version's business: without them the same data, code and config give the same digest.
    origin = {
        key: value for key, value in lineage.to_dict().items() if key not in {"requested_by", "created_at"}
    }
    manifest = Manifest(
        kind=model.kind, name=candidate.order.spec.name, lineage=origin, environment=dict(lineage.packages)
    )
    files = {**model.to_files(), **candidate.knowledge.to_files()}
    return registry.artifacts.put(pack(files, manifest))


def _register(
    candidate: _Candidate, digest: str, report: ValidationReport, registry: Registry, listener: Listener
) -> Version:
    order = candidate.order
    with step("register", listener) as registering:
        version = registry.register_version(
            order.spec.name,
            digest,
            candidate.lineage,
            status="candidate" if report.passed else "rejected",
            actor=order.actor,
            now=order.now,
            report=_as_json(report),
            metrics=candidate.training.metrics,
            notes=candidate.training.notes,
        )
        registering.note = f"{version}, {version.status}"
    return version


def _deploy(
    candidate: _Candidate, version: Version, registry: Registry, listener: Listener
) -> tuple[Deployment | None, str]:
    """Deploy the version, or say why not: another champion has come than the one that it was compared with."""
    order = candidate.order
    with step("deploy", listener) as deploying:
        try:
            deployment = registry.deploy(
                order.spec.name,
                version.number,
                actor=order.actor,
                reason="the gate passed",
                now=order.now,
                expected_sequence=candidate.champion_sequence,
            )
        except ConflictError as error:
            deploying.note = f"not deployed: {error}"
            return None, str(error)
        deploying.note = f"{version.semantic} serves in {deployment.environment}"
    return deployment, ""


def _validate(candidate: _Candidate, path: Path, registry: Registry, listener: Listener) -> ValidationReport:
    import polars as pl

    from aihub.validation.validator import ModelValidator

    order, table, training = candidate.order, candidate.table, candidate.training
    config = order.spec.training
    champion = candidate.champion
    obstacle = None if champion is None else _obstacle(champion, config, table, registry)
    can_compare = champion is not None and obstacle is None
    if obstacle is not None:
        listener(Remark(f"{champion} {obstacle}: compared by its metrics only"))
    with step("validate", listener) as validating:
        report = ModelValidator(config.model_type, spec=order.spec.validation).validate_model(
            path,
            training.holdout.filter(pl.col(config.target).is_not_null()),
            config.target,
            history=table.frame,
            champion=registry.artifact_path(champion) if champion and can_compare else None,
            baseline_metrics=_baseline(champion) if champion and not can_compare else None,
            reference=training.train_frame.select(
                config.timestamp,
                *([config.series_id] if config.series_id else []),
                *_features(config, training),
            ),
            now=order.now,
            seed=config.seed,
            context=_context(candidate),
        )
        validating.note = "passed" if report.passed else f"FAILED: {report.failures[0]}"
    return report


def _baseline(champion: Version) -> dict[str, float]:
    """Metrics to keep up with; a bias is near zero by luck, and no tolerance in percent of it means anything."""
    return {name: value for name, value in champion.metrics.items() if name != "bias"}


def _features(config: TrainingConfig, training: TrainingResult) -> tuple[str, ...]:
    """Features of the configuration that the table kept."""
    return tuple(name for name in config.features if name in training.train_frame.columns)


def _obstacle(
    champion: Version, config: TrainingConfig, table: PreparedTable, registry: Registry
) -> str | None:
    """Why the champion cannot be asked for the rows of `table`; None where it can."""
    if not _answers_same_rows(champion, config, table):
        return "needs other columns than this spec reads"
    try:
        registry.artifacts.verify(champion.digest)
    except ArtifactError as error:
        # Training anew is how a damaged champion is mended.
        return f"cannot be read ({error})"
    return None


def _answers_same_rows(champion: Version, config: TrainingConfig, table: PreparedTable) -> bool:
    """Whether the champion can be asked for the rows of `table`: same target and clock, and all its features there."""
    theirs = champion.lineage.config
    same = all(
        theirs.get(role) == getattr(config, role)
        for role in ("model_type", "target", "timestamp", "series_id")
    )
    return same and set(theirs.get("features", ())) <= set(table.frame.columns)


def _context(candidate: _Candidate) -> dict[str, Any]:
    order, table, training = candidate.order, candidate.table, candidate.training
    return {
        "model": {
            "name": order.spec.name,
            "kind": training.model.kind,
            "algorithm": order.spec.training.algorithm,
        },
        "data": {"file": order.data.name, **table.fingerprint.to_dict()},
        "champion": str(candidate.champion) if candidate.champion else None,
        "lineage": candidate.lineage.to_dict(),
        "notes": [note.to_dict() for note in table.notes] + list(training.notes),
        "backtest": None if training.backtest is None else training.backtest.to_dict(),
    }


def _as_json(report: ValidationReport) -> dict[str, Any]:
    """Give the report as it is written to its file, in which a metric that has no value is null and not NaN."""
    import json

    from aihub.validation.report.json import render_json

    document: dict[str, Any] = json.loads(render_json(report))
    return document


def _write_reports(report: ValidationReport, folder: Path) -> dict[str, Path]:
    from aihub.validation.report import write_reports

    try:
        return write_reports(report, folder)
    except OSError as error:
        message = f"the report cannot be written to {folder}: {error}; name another folder with --report"
        raise AIHubError(message) from error
