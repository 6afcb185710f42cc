from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aihub.delivery.job_records import Job, JobState, extent_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MADE = dict.fromkeys(("data", "train", "validate", "register"), "done")


def job(**changes: Any) -> Job:
    fields = dict.fromkeys(Job.__dataclass_fields__)
    given = {"kind": "train", "payload": {}, "state": JobState.RUNNING, "progress": 0.0, **changes}
    return Job(**{**fields, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "begun", "done", "total"),
    [
        ({"state": JobState.QUEUED}, {}, 0, 9),
        ({"payload": {"environment": "none"}}, {"data": "running"}, 0, 5),
        ({"payload": {"environment": "staging"}}, MADE, 4, 6),
        (
            {"state": JobState.WAITING, "step": "approval"},
            {**MADE, "stage": "done", "policy": "done", "approval": "running"},
            6,
            9,
        ),
        # A policy without staging, and one that asked nobody.
        ({}, {**MADE, "policy": "done", "deploy": "done"}, 6, 7),
        ({"kind": "validate", "payload": {"request": {}}}, {"data": "done"}, 1, 4),
        ({"kind": "validate", "payload": {"request": {"environment": "production"}}}, {}, 0, 8),
        ({"kind": "noop", "state": JobState.QUEUED}, {}, 0, 0),
    ],
)
def test_a_job_knows_how_many_steps_are_behind_it(
    changes: dict[str, Any], begun: dict[str, str], done: int, total: int
) -> None:
    found = extent_of(job(**changes), begun)
    assert (found.done, found.total) == (done, total)
    assert found.share == (done / total if total else 0.0)


def test_the_present_step_counts_by_its_share() -> None:
    running = job(step="train", progress=0.5, payload={"environment": "none"})
    found = extent_of(running, {"data": "done", "train": "running"})
    assert found.to_dict() == {"progress": 0.3, "step_progress": 0.5, "steps_done": 1, "steps_total": 5}
    # Between two steps the last one's share is not counted twice.
    assert extent_of(running, {"data": "done", "train": "done"}).share == 0.4


def test_what_ended_with_its_gate_is_complete() -> None:
    found = extent_of(job(state=JobState.COMPLETED, step="register", progress=1.0), MADE)
    assert (found.share, found.done, found.total) == (1.0, 4, 4)
