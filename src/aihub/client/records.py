"""The hub's answers as values. A field that a newer hub adds is in `raw`; one that an older hub lacks has its default."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from aihub.errors import AIHubError

if TYPE_CHECKING:
    from collections.abc import Mapping

OVER = frozenset({"completed", "failed", "cancelled"})
"""States of a job that nothing changes any more."""
WAITING = "waiting"
"""State of a job that waits for a person."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One answer.

    Attributes
    ----------
    raw
        The answer as it came, for machines.
    replayed
        Whether the request was made before with this idempotency key: this is what was answered then.
    """

    raw: Mapping[str, Any] = field(repr=False)
    replayed: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read the fields of an answer; times become aware datetimes.

        Raises
        ------
        AIHubError
            A field is missing: client and hub are of versions that do not go together.
        """
        values: dict[str, Any] = {"raw": document}
        for one in fields(cls):
            if one.name in document:
                values[one.name] = _read(document[one.name], str(one.type))
            elif one.name != "raw" and one.default is MISSING and one.default_factory is MISSING:
                raise AIHubError(
                    f"the hub's answer has no field {one.name!r} of a {cls.__name__}; bring client and hub to one version"
                )
        return cls(**values)


def _read(value: Any, kind: str) -> Any:
    if kind == "str":
        return str(value)
    return datetime.fromisoformat(value) if isinstance(value, str) and kind.startswith("datetime") else value


@dataclass(frozen=True, kw_only=True)
class Job(Record):
    """Work asked for.

    Attributes
    ----------
    status
        ``queued``, ``running``, ``waiting`` (for an approval), ``completed``, ``failed`` or ``cancelled``.
    progress, step_progress
        Share of the work, and of its present step, that is done, 0 to 1.
    attempts
        How often a worker has taken it.
    gate_passed
        What the gate said; None before it has spoken.
    result
        What came of it: version, deployment, approval.
    error
        Why it failed.
    """

    job_id: str
    status: str
    model: str | None = None
    priority: str = "normal"
    step: str | None = None
    progress: float = 0.0
    step_progress: float = 0.0
    steps_done: int = 0
    steps_total: int = 0
    gate_passed: bool | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    submitted_by: str = ""
    attempts: int = 0
    queue: str = ""
    duration_s: float | None = None
    retry_of: str | None = None
    cancel_requested: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in OVER

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a person to approve."""
        return self.status == WAITING

    @property
    def is_judged(self) -> bool:
        """Whether its gate has spoken, and what it waits for now may take days: a person, or the end of a freeze."""
        return self.is_over or (self.gate_passed is not None and self.status in {WAITING, "queued"})


@dataclass(frozen=True, kw_only=True)
class LogLine(Record):
    """A line of a job's log; `id` is what a reader goes on from."""

    id: str
    message: str
    level: str = "info"
    step: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset(Record):
    """A table that was uploaded; its id is the SHA-256 of its content."""

    dataset_id: str
    name: str = ""
    format: str = ""
    size_bytes: int = 0
    rows: int = 0
    columns: list[str] = field(default_factory=list)
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Model(Record):
    """A model, what of it serves, and what runs beside that."""

    name: str
    created_at: datetime | None = None
    versions: int = 0
    serving: list[dict[str, Any]] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Version(Record):
    """A trained artefact; `version` is its number, `semantic` its semantic version."""

    model: str
    version: int
    semantic: str
    status: str
    digest: str
    size_bytes: int = 0
    kind: str = ""
    git_commit: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    report_digest: str | None = None
    created_by: str = ""
    created_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.model} {self.semantic} (version {self.version})"


@dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """What the gate said of a version on a dataset; `effect` is what that did to the version."""

    job_id: str
    passed: bool
    dataset_id: str
    report_digest: str
    effect: str = "none"
    artifact_digest: str = ""
    validated_by: str = ""
    reason: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Deployment(Record):
    """A version put into an environment by somebody for a reason."""

    model: str
    version: int
    semantic: str
    environment: str
    sequence: int = 0
    action: str = "deploy"
    actor: str = ""
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    served_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rollout(Record):
    """A version that runs beside the champion: a canary answers the `share` of the requests, a shadow none."""

    id: str
    model: str
    version: int
    semantic: str
    environment: str
    strategy: str
    state: str
    share: float = 0.0
    actor: str = ""
    reason: str = ""
    outcome: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Approval(Record):
    """A decision that is asked of a person; `artifact_digest` and `report_digest` are what is decided on."""

    id: str
    model: str
    environment: str
    state: str
    version: int | None = None
    semantic: str = ""
    artifact_digest: str = ""
    report_digest: str | None = None
    job_id: str | None = None
    requested_by: str = ""
    reason: str = ""
    role: str = ""
    approvers: int = 1
    created_at: datetime | None = None
    expires_at: datetime | None = None
    decided_at: datetime | None = None
    decisions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """What came of asking for a deployment.

    Attributes
    ----------
    status
        ``deployed``, ``rolling_out`` or ``waiting`` (for an approval).
    """

    status: str
    reason: str = ""
    deployment: Deployment | None = None
    approval: Approval | None = None
    rollout: dict[str, Any] | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read an answer, and the records in it."""
        read = super().of(document)
        parts: dict[str, Any] = {
            name: kind.of(document[name])
            for name, kind in (("deployment", Deployment), ("approval", Approval))
            if document.get(name) is not None
        }
        return replace(read, **parts)


@dataclass(frozen=True, kw_only=True)
class AuditEvent(Record):
    """Who changed what, when, why and from where."""

    sequence: int
    actor: str
    action: str
    subject: str
    at: datetime | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Key(Record):
    """An API key without its secret."""

    id: str
    principal: str
    role: str
    tenant_id: str = ""
    scopes: list[str] | None = None
    state: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule(Record):
    """A job that comes again and again."""

    id: str
    name: str
    cron: str
    time_zone: str = "UTC"
    is_active: bool = True
    next_at: datetime | None = None
    last_at: datetime | None = None
    last_job: str | None = None
