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
    attempts, claims
        How often a worker has taken it since its last progress, and in all.
    progress
        Share (0 to 1) of the present step that is done; `extent_of` says how far the whole is.
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
    claims: int
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

    def to_dict(self, extent: Extent) -> dict[str, Any]:
        """Return what clients see; `extent` is how far it is, of `extent_of`."""
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
            **extent.to_dict(),
            # Jobs from before claims were counted have only the others.
            "attempts": max(self.claims, self.attempts),
            "gate_passed": self.gate_passed,
            "result": None if self.result is None else dict(self.result),
            "error": None if self.error is None else dict(self.error),
            "retry_of": self.retry_of,
            "cancel_requested": self.cancel_requested_at is not None,
        }


_MAKING = {
    "train": ("data", "train", "validate", "register"),
    "validate": ("data", "validate", "verdict"),
}
_BRINGING = {
    "none": (),
    "staging": ("stage",),
    "production": ("stage", "policy", "approval", "deploy"),
}
_USUAL = {"train": "production", "validate": "none"}
"""Where a request goes that names no environment."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How far a job is.

    Attributes
    ----------
    done, total
        Steps that are done, and steps that it takes as far as that is known now.
    step_share
        Share (0 to 1) of the present step that is done.
    """

    done: int
    total: int
    step_share: float = 0.0
    is_complete: bool = False

    @property
    def share(self) -> float:
        """Share (0 to 1) of the whole that is done, each step counted alike."""
        if self.is_complete:
            return 1.0
        return min((self.done + self.step_share) / self.total, 1.0) if self.total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see."""
        return {
            "progress": self.share,
            "step_progress": self.step_share,
            "steps_done": self.done,
            "steps_total": self.total,
        }


def extent_of(job: Job, begun: Mapping[str, str]) -> Extent:
    """Return how far a job is. Pure.

    Parameters
    ----------
    begun
        Its steps so far and their states, in their order.
    """
    asked = job.payload.get("request", job.payload) if job.kind == "validate" else job.payload
    where = asked.get("environment") or _USUAL.get(job.kind, "none")
    planned = (*_MAKING[job.kind], *_BRINGING.get(where, ()), "notify") if job.kind in _MAKING else ()
    # What lies before a step that has begun and has not begun itself is left out: nobody had to be asked, no staging.
    last = max((planned.index(name) for name in begun if name in planned), default=-1)
    left = [name for place, name in enumerate(planned) if place > last]
    done = sum(1 for state in begun.values() if state in ("done", "skipped"))
    is_complete = job.state is JobState.COMPLETED
    is_under_way = job.step is not None and begun.get(job.step) == "running"
    return Extent(
        done=done,
        total=done if is_complete else len(begun) + len(left),
        step_share=job.progress if is_under_way else 0.0,
        is_complete=is_complete,
    )


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
