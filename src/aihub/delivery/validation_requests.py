"""What can be asked of a validating job: judge a version that is there on a table that was uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from aihub.delivery import datasets, jobs
from aihub.delivery.requests import DEFAULT_QUEUE, Priority, QueueName
from aihub.errors import ConfigError, DataError, ForbiddenError, did_you_mean
from aihub.store import approvals as version_rows
from aihub.training.strict import StrictModel
from aihub.types import ModelType, Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.datasets import Dataset
    from aihub.delivery.jobs import Job
    from aihub.registry.records import Version
    from aihub.store.audit import AuditLog
    from aihub.types import Identity

VALIDATE = "validate"
"""Kind of the jobs that `submit` makes."""
MAX_COLUMN = 256


class ValidationRequest(StrictModel):
    """Judge a version on a dataset, and bring it as far as its policy allows."""

    dataset_id: str = Field(
        min_length=1,
        max_length=80,
        description="Dataset that was uploaded to the hub: rows that the model has not seen, with the actual values.",
    )
    environment: Literal["none", "staging", "production"] = Field(
        "none", description="How far it goes when the gate passed; none: it is only judged."
    )
    validation: dict[str, Any] = Field(
        default_factory=dict,
        description="Thresholds and checks of the gate; what the version's own specification says wins.",
    )
    target: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_COLUMN,
        description="Column with what really happened, where the version does not say it.",
    )
    timestamp: str | None = Field(
        None, min_length=1, max_length=MAX_COLUMN, description="Column of times, as for the target."
    )
    series_id: str | None = Field(
        None, min_length=1, max_length=MAX_COLUMN, description="Column of series ids, as for the target."
    )
    lift_rejection: str | None = Field(
        None,
        min_length=1,
        max_length=4000,
        description="Why an earlier rejection is lifted where the gate passes; for admins.",
    )
    priority: Literal["high", "normal", "low"] = Field("normal", description="Order among the tenant's own.")
    queue: QueueName = Field(DEFAULT_QUEUE, description="Which workers may take it.")


class ValidationWork(StrictModel):
    """What the job keeps: the request, who made it, and the version it is about.

    `asked_by` is not who runs it again: what only an admin may ask for is not given on by a retry.
    """

    model: str
    version: int
    digest: str
    asked_by: str
    request: ValidationRequest

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, defaults left out; `ValidationWork.model_validate` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of the table mean, and what the version answers."""

    model_type: ModelType
    target: str
    timestamp: str | None
    series_id: str | None


def submit(
    connection: Connection,
    request: ValidationRequest,
    version: Version,
    *,
    identity: Identity,
    now: datetime,
    audit: AuditLog,
    key: str | None = None,
) -> Job:
    """Write a validating job and its audit event, and wake a worker. Idempotent by `key` per principal.

    Raises
    ------
    NotFoundError
        The tenant has no such dataset.
    ConfigError, DataError
        A threshold or check is unknown or wrong, or a column is not there.
    ForbiddenError
        Somebody who is no admin wants to lift a rejection.
    ConflictError, TooManyError
        As `aihub.delivery.jobs.submit`.
    """
    if request.lift_rejection is not None and identity.role is not Role.ADMIN:
        raise ForbiddenError(f"{identity.principal!r} is no admin and cannot lift a rejection; ask one")
    dataset = datasets.get(connection, request.dataset_id, tenant=identity.tenant)
    columns = columns_of(request, version)
    check_columns(columns, request, version, dataset)
    check_section(columns.model_type, request.validation, spec_of(connection, version))
    work = ValidationWork(
        model=version.model,
        version=version.number,
        digest=version.digest,
        asked_by=identity.principal,
        request=request,
    )
    return jobs.place(
        connection,
        jobs.Work(
            kind=VALIDATE,
            payload=work.to_dict(),
            model=version.model,
            queue=request.queue,
            priority=Priority[request.priority.upper()],
        ),
        identity=identity,
        now=now,
        audit=audit,
        key=key,
    )


def spec_of(connection: Connection, version: Version) -> dict[str, Any]:
    """Return the specification that a version was made from; empty where it was trained elsewhere."""
    _, _, spec = version_rows.gate_of(connection, version_uid=version.uid)
    return spec or {}


def columns_of(request: ValidationRequest, version: Version) -> Columns:
    """Return what the columns mean: as the version says, else as the request does.

    Raises
    ------
    ConfigError
        Nobody says what the version predicts, or the request says something else than the version.
    """
    config = version.lineage.config
    said = {
        role: _agreed(role, config.get(role), getattr(request, role))
        for role in ("target", "timestamp", "series_id")
    }
    if said["target"] is None:
        raise ConfigError(
            "nobody has said what the version predicts. Name the column with 'target'.", field="target"
        )
    return Columns(
        model_type=ModelType(config.get("model_type") or ModelType.FORECAST),
        target=said["target"],
        timestamp=said["timestamp"],
        series_id=said["series_id"],
    )


def _agreed(role: str, own: str | None, asked: str | None) -> str | None:
    if own is not None and asked is not None and own != asked:
        raise ConfigError(f"{role} of the version is {own!r}, not {asked!r}. Leave it out.", field=role)
    return own if own is not None else asked


def check_columns(columns: Columns, request: ValidationRequest, version: Version, dataset: Dataset) -> None:
    """Refuse a table that lacks what the version needs, before a worker is spent on it.

    Raises
    ------
    DataError
        With the column.
    """
    asked = [name for name in (request.timestamp, request.series_id) if name is not None]
    there = set(dataset.columns)
    for name in (columns.target, *version.lineage.config.get("features", ()), *asked):
        if name not in there:
            raise DataError(
                f"the dataset has no such column.{did_you_mean(name, dataset.columns)}",
                file=dataset.name,
                column=name,
            )


def check_section(model_type: ModelType, asked: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Refuse a section `validation` that the gate could not read.

    Raises
    ------
    ConfigError
        With the field.
    """
    from aihub.validation.settings import resolve

    # Alone first: what is wrong in it is then called by the name that the caller has given it.
    resolve(model_type, spec=asked)
    resolve(model_type, spec=spec.get("validation"), call=asked)
