"""Carry out one job, and turn whatever it ends with into the job's state: the border of a run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aihub.delivery import lease as leases
from aihub.delivery import steps
from aihub.delivery.job_records import JobState
from aihub.delivery.lease import MAX_ATTEMPTS, CancelledError, LeaseLostError
from aihub.delivery.runs import ReleasedError
from aihub.errors import AIHubError, StoreAwayError, UnavailableError
from aihub.store import outbox
from aihub.store.engine import write

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.kinds import Pipeline
    from aihub.delivery.lease import Lease
    from aihub.delivery.runs import Run

FAILED_TOPIC = "notify.job.failed"
FIRST_PAUSE_S = 5.0
STORE_PAUSE_S = 30.0
"""Until a job is tried again that found the bucket of artefacts and data sets away."""
_LOG = logging.getLogger(__name__)


def execute(run: Run, pipeline: Pipeline) -> None:
    """Run a job to its end, to a wait, or until it is stopped. Raises only where the database is away."""
    lease = run.lease
    try:
        pipeline(run)
    except LeaseLostError as reason:
        _LOG.warning("%s", reason)
    except ReleasedError:
        with write(run.hub.engine, tenant=lease.tenant) as connection:
            leases.release(connection, [lease])
    except CancelledError:
        _end(run, JobState.CANCELLED, "cancelled")
    except UnavailableError as failure:
        _try_later(run, failure)
    except AIHubError as failure:
        _fail(run, failure.code, str(failure))
    except Exception as failure:  # noqa: BLE001 - a fault in one job must not take the worker and other people's jobs along
        _LOG.exception("job %s failed by a fault in the hub", lease.uid)
        message = f"a fault in the hub, not in your input: {type(failure).__name__}: {failure}; report it, with the log of the worker"
        _fail(run, "internal", message)


def _fail(run: Run, code: str, message: str) -> None:
    _end(run, JobState.FAILED, message, error={"code": code, "message": message[: steps.MAX_MESSAGE]})


def _try_later(run: Run, failure: UnavailableError) -> None:
    """Give the job back to be tried again after a growing pause; after too many attempts it fails.

    Where the hub's own store is away that is not the job's fault: it waits as long as that lasts.
    """
    lease = run.lease
    if isinstance(failure, StoreAwayError):
        later = datetime.now(UTC) + timedelta(seconds=STORE_PAUSE_S)
        message = f"{failure}; tried again in {STORE_PAUSE_S:.0f} s"
        _end(run, JobState.QUEUED, message, run_after=later, attempts=max(0, lease.attempts - 1))
        return
    if lease.attempts >= MAX_ATTEMPTS:
        _fail(run, failure.code, f"{failure} (tried {lease.attempts} times)")
        return
    pause = max(FIRST_PAUSE_S * 2 ** (lease.attempts - 1), getattr(failure, "retry_after_s", 0.0))
    message = f"{failure}; tried again in {pause:.0f} s"
    later = datetime.now(UTC) + timedelta(seconds=pause)
    _end(run, JobState.QUEUED, message, run_after=later)


def _end(run: Run, state: JobState, message: str, **values: Any) -> None:
    lease, now = run.lease, datetime.now(UTC)
    level = {JobState.FAILED: "error", JobState.CANCELLED: "warning"}.get(state, "info")
    with write(run.hub.engine, tenant=lease.tenant) as connection:
        try:
            leases.hold(connection, lease)
        except LeaseLostError as reason:
            _LOG.warning("%s", reason)
            return
        except CancelledError:
            state, values = JobState.CANCELLED, {}
        steps.fail_open(connection, lease, now=now, note=message)
        steps.write_log(connection, lease, [(now, level, "", message)])
        run.end(connection, state, **values)
        if state is JobState.FAILED:
            _tell(connection, lease, message, now)


def _tell(connection: Connection, lease: Lease, message: str, now: datetime) -> None:
    outbox.put(
        connection,
        tenant=lease.tenant,
        topic=FAILED_TOPIC,
        key=lease.uid,
        payload={
            "model": lease.model,
            "job_id": lease.uid,
            "by": lease.submitted_by,
            "reason": message[:1000],
        },
        now=now,
    )
