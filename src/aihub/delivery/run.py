"""One delivery without a server: from a spec and a file to a deployed model that answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.delivery.candidate import Candidate, Incumbent, Task, make
from aihub.delivery.progress import Listener, ignore, step
from aihub.errors import AIHubError, ConflictError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from aihub.registry.records import Deployment, Version
    from aihub.registry.registry import Registry
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


def deliver(order: Order, registry: Registry, listener: Listener = ignore) -> Delivery:
    """Train, validate, register and, where the gate passed and the order says so, deploy.

    Writes the artefact, the version, the report's files and perhaps a deployment.

    Raises
    ------
    DataError, ConfigError
        The file or the spec cannot be used; nothing was written.
    """
    incumbent = incumbent_of(registry, order.spec.name)
    candidate = make(_task(order, incumbent), registry.artifacts, listener)
    version = _register(order, candidate, registry, listener)
    files = _write_reports(candidate.report, order.reports / order.spec.name / str(version.number))
    deployment, withheld = None, ""
    if candidate.report.passed and order.deploy:
        sequence = incumbent.sequence if incumbent else 0
        deployment, withheld = _deploy(order, sequence, version, registry, listener)
    return Delivery(
        version=version,
        report=candidate.report,
        training=candidate.training,
        table=candidate.table,
        deployment=deployment,
        withheld=withheld,
        report_files=files,
    )


def incumbent_of(registry: Registry, model: str) -> Incumbent | None:
    """Return the champion that a newcomer is compared with; None where nothing serves."""
    serving = registry.serving(model)
    return Incumbent.of(registry.version(model, serving.version), serving) if serving else None


def _task(order: Order, incumbent: Incumbent | None) -> Task:
    from pathlib import Path

    from aihub.registry.lineage import git_state

    return Task(
        spec=order.spec,
        data=order.data,
        requested_by=order.actor,
        now=order.now,
        git=git_state(Path.cwd()),
        incumbent=incumbent,
    )


def _register(order: Order, candidate: Candidate, registry: Registry, listener: Listener) -> Version:
    with step("register", listener) as registering:
        version = registry.register_version(
            order.spec.name,
            candidate.digest,
            candidate.lineage,
            status="candidate" if candidate.report.passed else "rejected",
            actor=order.actor,
            now=order.now,
            report=as_json(candidate.report),
            metrics=candidate.training.metrics,
            spec=order.spec.to_dict(),
            notes=candidate.training.notes,
        )
        registering.note = f"{version}, {version.status}"
    return version


def _deploy(
    order: Order, sequence: int, version: Version, registry: Registry, listener: Listener
) -> tuple[Deployment | None, str]:
    """Deploy the version, or say why not: another champion has come than the one that it was compared with."""
    with step("deploy", listener) as deploying:
        try:
            deployment = registry.deploy(
                order.spec.name,
                version.number,
                actor=order.actor,
                reason="the gate passed",
                now=order.now,
                expected_sequence=sequence,
            )
        except ConflictError as error:
            deploying.note = f"not deployed: {error}"
            return None, str(error)
        deploying.note = f"{version.semantic} serves in {deployment.environment}"
    return deployment, ""


def as_json(report: ValidationReport) -> dict[str, Any]:
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
