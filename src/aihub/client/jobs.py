"""Training jobs, their logs, recurring jobs, and the tables that they train on."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from aihub.client import commit, files
from aihub.client.connection import path_of
from aihub.client.events import LAST_ID, parse
from aihub.client.records import Dataset, Job, LogLine, Schedule
from aihub.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aihub.client.connection import Connection

JOBS = ("ai", "training", "jobs")
DATASETS = ("ai", "datasets")
_FIRST_POLL_S, _LONGEST_POLL_S = 0.1, 2.0
_GROWTH = 1.3
_SILENCE_S = 60.0
"""A live log that says nothing for so long, not even that it is alive, is taken for broken."""
_REOPEN_S = 0.5
_MEDIA_TYPES = {".parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True)
class Jobs:
    """`Client.jobs`."""

    _connection: Connection

    def submit(
        self,
        *,
        config: Mapping[str, Any],
        model_type: str | None = None,
        priority: str = "normal",
        tenant_id: str | None = None,
        dataset_id: str | None = None,
        git_commit: str | None = None,
        key: str | None = None,
        **more: Any,
    ) -> Job:
        """Ask for a training and return the job as it was accepted.

        Parameters
        ----------
        config
            Fields of a `TrainingConfig`.
        model_type
            ``forecast`` or ``anomaly``; None: what `config` says, else a forecast.
        dataset_id
            From `Datasets.upload`.
        git_commit
            Kept in the lineage; None: `GITHUB_SHA`, else that of the folder.
        key
            The same key gets the same job, also from another process.
        **more
            Further fields of the request: ``name``, ``validation``, ``policy``, ``serving``, ``data``, ``environment``.
        """
        body = {
            "tenant_id": tenant_id,
            "model_type": model_type or config.get("model_type", "forecast"),
            "config": dict(config),
            "priority": priority,
            "data": None if dataset_id is None else {"dataset_id": dataset_id},
            "git_commit": git_commit or commit.current(),
            **more,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return Job.of(self._connection.send("POST", path_of(*JOBS), given, key=key))

    def get(self, job_id: str) -> Job:
        """Return a job with its steps."""
        return Job.of(self._connection.get(path_of(*JOBS, job_id)))

    def list(
        self, *, limit: int | None = None, status: str | None = None, model: str | None = None
    ) -> Iterator[Job]:
        """Yield the jobs of the tenant, newest first, page after page."""
        pages = self._connection.pages(path_of(*JOBS), limit=limit, status=status, model=model)
        return map(Job.of, pages)

    def cancel(self, job_id: str, *, key: str | None = None) -> Job:
        """Ask a job to stop, also a running one; idempotent."""
        return Job.of(self._connection.send("POST", path_of(*JOBS, job_id, "cancel"), {}, key=key))

    def retry(self, job_id: str, *, key: str | None = None) -> Job:
        """Submit a job that failed or was cancelled once more; return the new one."""
        return Job.of(self._connection.send("POST", path_of(*JOBS, job_id, "retry"), {}, key=key))

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        through_approval: bool = False,
        on_progress: Callable[[Job], None] | None = None,
    ) -> Job:
        """Return the job once nothing changes any more, or once its gate has spoken and it waits for a person or a freeze.

        Parameters
        ----------
        through_approval
            Whether to go on waiting while it is.
        on_progress
            Called with the job whenever it has changed.

        Raises
        ------
        UnavailableError
            It was not over after `timeout_s`; it goes on by itself.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause, seen, place = _FIRST_POLL_S, None, None
        while True:
            job = self.get(job_id)
            if on_progress is not None and job.raw != seen:
                on_progress(job)
            if job.is_over or (job.is_judged and not through_approval):
                return job
            # Progress alone is no reason to ask more often: a training of an hour advances all the time.
            is_new = (job.status, job.step) != place
            pause = _FIRST_POLL_S if is_new else min(_LONGEST_POLL_S, pause * _GROWTH)
            seen, place = job.raw, (job.status, job.step)
            if deadline is not None and time.monotonic() + pause > deadline:
                raise UnavailableError(
                    f"job {job_id} is {job.status} after {timeout_s:g} s; it goes on, watch it: aihub jobs watch {job_id}"
                )
            time.sleep(pause)

    def logs(self, job_id: str) -> Iterator[LogLine]:
        """Yield the lines that there are."""
        return map(LogLine.of, self._connection.pages(path_of(*JOBS, job_id, "logs")))

    def follow(self, job_id: str, *, after: str = "") -> Iterator[LogLine]:
        """Yield the lines of a job as they come, until it is over; a connection that breaks is taken up where it was.

        Parameters
        ----------
        after
            Id of the last line that is known.

        Raises
        ------
        UnavailableError
            The hub stays away.
        """
        last, path = after, path_of(*JOBS, job_id, "logs")
        while True:
            headers = {"Accept": "text/event-stream"} | ({LAST_ID: last} if last else {})
            # That it breaks is no news; opening it anew is tried with patience, and raises where that does not help.
            with (
                self._connection.stream(path, headers=headers, timeout_s=_SILENCE_S) as response,
                suppress(httpx.TransportError),
            ):
                for event in parse(response.iter_lines(), last):
                    if event.name == "end":
                        return
                    last = event.id
                    yield LogLine.of({**json.loads(event.data), "id": event.id})
            time.sleep(_REOPEN_S)


@dataclass(frozen=True)
class Datasets:
    """`Client.datasets`."""

    _connection: Connection

    def upload(self, path: Path | str, *, name: str | None = None, timeout_s: float = 600.0) -> Dataset:
        """Send a CSV or Parquet file, in pieces as it is read; a file that is there already is not sent again.

        Raises
        ------
        InputError
            The file cannot be read.
        DataError
            It is not a table.
        """
        file = Path(path)
        digest = files.digest_of(file)
        known = self.find(digest)
        if known is not None:
            return known
        headers = {
            "Content-Type": _MEDIA_TYPES.get(file.suffix.lower(), "text/csv"),
            "X-Content-SHA256": digest,
        }
        document = self._connection.upload(
            path_of(*DATASETS),
            lambda: files.opened(file),
            headers=headers,
            key=f"dataset-{digest}",
            timeout_s=timeout_s,
            name=name or file.name,
        )
        return Dataset.of(document)

    def get(self, dataset_id: str) -> Dataset:
        """Return what is known of a dataset."""
        return Dataset.of(self._connection.get(path_of(*DATASETS, dataset_id)))

    def find(self, digest: str) -> Dataset | None:
        """Return the dataset with this SHA-256, None where there is none."""
        try:
            return self.get(digest)
        except NotFoundError:
            return None

    def list(self, *, limit: int | None = None) -> Iterator[Dataset]:
        """Yield the datasets of the tenant, newest first."""
        return map(Dataset.of, self._connection.pages(path_of(*DATASETS), limit=limit))


@dataclass(frozen=True)
class Schedules:
    """`Client.schedules`."""

    _connection: Connection

    def create(
        self, name: str, cron: str, job: Mapping[str, Any], *, time_zone: str = "UTC", key: str | None = None
    ) -> Schedule:
        """Submit `job`, a request as for `Jobs.submit`, whenever `cron` says so in `time_zone`."""
        body = {"name": name, "cron": cron, "time_zone": time_zone, "job": dict(job)}
        return Schedule.of(self._connection.send("POST", path_of("schedules"), body, key=key))

    def list(self) -> Iterator[Schedule]:
        """Yield the schedules of the tenant."""
        return map(Schedule.of, self._connection.pages(path_of("schedules")))

    def set_active(self, schedule_id: str, *, is_active: bool) -> Schedule:
        """Pause a schedule, or let it go on."""
        body = {"is_active": is_active}
        return Schedule.of(self._connection.send("PATCH", path_of("schedules", schedule_id), body))

    def delete(self, schedule_id: str) -> None:
        """End a schedule; jobs that it has made go on."""
        self._connection.send("DELETE", path_of("schedules", schedule_id))
