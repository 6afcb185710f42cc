"""What a script or command asks a hub for, once: in GitHub Actions two runs for one commit ask for one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aihub.cli.tagging import tell_tag
from aihub.client import commit
from aihub.client.runs import attempt, key_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.client import Client, Job, Outcome, Version

_TO_BE_REPEATED = frozenset({"failed", "cancelled"})


def submit(
    client: Client, request: dict[str, Any], data: Path, *, key: str | None = None, quiet: bool = False
) -> Job:
    """Upload a table, ask for a training on it, and say which job it is.

    In GitHub Actions the job of another run for the same commit is used; one that did not come to its end is asked for
    again when a person starts the run again.

    Parameters
    ----------
    key
        Idempotency key; None: in GitHub Actions that of the run, else none.
    """
    dataset = client.datasets.upload(data)
    whole = {**request, "dataset_id": dataset.dataset_id}
    key = key or key_of_run("job", whole)
    job = client.jobs.submit(**whole, key=key)
    is_old = job.replayed
    # The hub forgets answers after some days, not the job that a key has made.
    if is_old or attempt() > 1:
        job = _not_given_up(client, client.jobs.get(job.job_id))
    if not quiet:
        click.echo(f"Job created: {job.job_id}")
        if is_old:
            click.echo(
                "It was asked for before, by this run or another for the same commit: its job is used."
            )
    return job


def _not_given_up(client: Client, job: Job) -> Job:
    for _ in range(attempt() - 1):
        if job.status not in _TO_BE_REPEATED:
            break
        again = client.jobs.retry(job.job_id, key=f"again-{job.job_id}")
        job = client.jobs.get(again.job_id)
    return job


def register(client: Client, name: str, path: Path, *, quiet: bool = False, **known: str) -> Version:
    """Register a model file and say which version it is; `known` is what the file does not say."""
    from aihub.client import files

    key = key_of_run("version", name, files.digest_of(path), *known.values())
    version = client.models.register(name, path, key=key, **known)
    if quiet:
        return version
    click.echo(f"Registered {version}")
    if version.replayed:
        click.echo(
            "It was registered before, by this run or another for the same commit: its version is used."
        )
    return version


def deploy(
    client: Client, name: str, version: str | int, *, environment: str, reason: str, tag: bool = False
) -> Outcome:
    """Ask for a deployment; a repeated request is answered with how things stand now.

    Parameters
    ----------
    version
        Of several versions of one git commit the newest that its gate let through: a schedule trains a commit again.
    tag
        Whether the commit of a version that now serves is tagged where this is its checkout.
    """
    if commit.COMMIT.fullmatch(str(version)):
        version = client.models.find(name, version).version
    # A person who starts the run again wants it to be deployed, also where it was rolled back meanwhile.
    key = key_of_run("deployment", name, str(version), environment, reason, attempt())
    answer = client.models.deploy(name, version, environment=environment, reason=reason, key=key)
    if answer.replayed and answer.approval is not None:
        approval = client.approvals.get(answer.approval.id)
        answer = type(answer).of({**answer.raw, "approval": approval.raw})
    done = answer.deployment
    if tag and done is not None:
        tell_tag(
            name,
            done.semantic,
            lambda: client.models.version(name, done.version).git_commit,
            environment=environment,
            reason=reason,
        )
    return answer
