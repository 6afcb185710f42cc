"""Jobs, their steps and their log as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aihub.delivery.requests import Priority
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class JobState(StrEnum):
    """Where a job is. The last three are the end."""

    QUEUED = "queued"
    """A worker will take it."""
    RUNNING = "running"
    """A worker holds its lease."""
    WAITING = "waiting"
    """A person has to decide; holds no worker, thread or memory."""
    COMPLETED = "completed"
    """All its steps are done; a failed gate is one of the ways."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that was asked for.

    Attributes
    ----------
    id
        Order of submission, for pages; never shown. `uid` is what clients call it.
    run_after
        Not taken before, such as after a failure or during a freeze.
    progress
        Share (0 to 1) of the present step that is done.
    gate_passed
        What the gate said; None before.
    result
        What came of it: model, version, deployment, approval.
    error
        ``code`` and ``message`` of a failed job.
    """

    id: int
    uid: str
    tenant: str
    kind: str
    queue: str
    priority: int
    state: JobState
    payload: Mapping[str, Any]
    model: str | None
    submitted_by: str
    source: str
    created_at: datetime
    run_after: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    worker: str | None
    cancel_requested_at: datetime | None
    step: str | None
    progress: float
    gate_passed: bool | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    retry_of: str | None

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Job:
        """Read a row of the table."""
        fields = {name: row[name] for name in cls.__dataclass_fields__ if name not in ("tenant", "state")}
        return cls(**fields, tenant=row["tenant_id"], state=JobState(row["state"]))

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first start to the end; None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        priority = next((p.name.lower() for p in Priority if p == self.priority), str(self.priority))
        return {
            "job_id": self.uid,
            "status": self.state.value,
            "tenant_id": self.tenant,
            "kind": self.kind,
            "queue": self.queue,
            "priority": priority,
            "model": self.model,
            "request": dict(self.payload),
            "submitted_by": self.submitted_by,
            "created_at": iso(self.created_at),
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "duration_s": self.duration_s,
            "step": self.step,
            "progress": self.progress,
            "attempts": self.attempts,
            "gate_passed": self.gate_passed,
            "result": None if self.result is None else dict(self.result),
            "error": None if self.error is None else dict(self.error),
            "retry_of": self.retry_of,
            "cancel_requested": self.cancel_requested_at is not None,
        }


@dataclass(frozen=True, kw_only=True)
class JobStep:
    """One step of a job; `state` is running, done, failed or skipped."""

    name: str
    state: str
    started_at: datetime
    finished_at: datetime | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        seconds = None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()
        return {
            "name": self.name,
            "status": self.state,
            "started_at": iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "duration_s": seconds,
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of a job's log; `id` grows, so that a reader goes on after the last one it has."""

    id: int
    at: datetime
    level: str
    step: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {**vars(self), "at": iso(self.at)}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
