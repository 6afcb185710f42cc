"""`aihub jobs`: the training and validating jobs of a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json, printable, table
from aihub.cli.options import PATH, json_option
from aihub.cli.validations import validate

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from aihub.client import Job

_JOB = click.argument("job_id")
_PRIORITY = click.option(
    "--priority", type=click.Choice(["high", "normal", "low"]), default="normal", show_default=True
)


@click.group()
def jobs() -> None:
    """Submit training and validating jobs to a hub, watch them, stop them.

    The hub is AIHUB_URL, by default http://localhost:8000; the key is AIHUB_API_KEY or in the file AIHUB_API_KEY_FILE.
    """


jobs.add_command(validate)


@jobs.command("list")
@click.option(
    "--status", help="Only jobs in this state: queued, running, waiting, completed, failed, cancelled."
)
@click.option("--model", help="Only jobs of this model.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most jobs.")
@json_option
def list_jobs(status: str | None, model: str | None, limit: int, *, as_json: bool) -> None:
    """List the jobs, newest first."""
    from aihub.client import Client

    with Client() as client:
        found = list(client.jobs.list(limit=limit, status=status, model=model))
    if as_json:
        print_json({"jobs": [job.raw for job in found]})
    elif not found:
        click.echo("No job yet. Submit one: aihub jobs submit SPEC --data FILE")
    else:
        headings = ["job", "status", "gate", "step", "model", "priority", "submitted (UTC)", "by"]
        table(headings, [_row(job) for job in found])


def _row(job: Job) -> list[object]:
    gate = {None: "", True: "passed", False: "failed"}[job.gate_passed]
    step = f"{job.step} {job.step_progress:.0%}" if job.status == "running" and job.step else job.step or ""
    return [
        job.job_id,
        job.status,
        gate,
        step,
        job.model,
        job.priority,
        minute(job.created_at),
        job.submitted_by,
    ]


def minute(moment: datetime | None) -> str | None:
    """Give a time as tables show it."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


@jobs.command()
@_JOB
@json_option
def show(job_id: str, *, as_json: bool) -> None:
    """Show one job with its steps and what came of it."""
    from aihub.cli.following import tell_end
    from aihub.client import Client

    with Client() as client:
        job = client.jobs.get(job_id)
    if as_json:
        print_json(job.raw)
        return
    far = f", {job.steps_done} of {job.steps_total} steps done" if job.steps_total else ""
    click.echo(f"{job.job_id}: {job.status}{far}, model {job.model}, submitted by {job.submitted_by}")
    rows = [
        [step["name"], step["status"], step.get("duration_s"), step.get("note") or ""] for step in job.steps
    ]
    if rows:
        table(["step", "status", "seconds", "note"], rows)
    tell_end(job)


@jobs.command()
@click.argument("spec", type=PATH)
@click.option("--data", type=PATH, required=True, help="CSV (also compressed) or Parquet; it is uploaded.")
@_PRIORITY
@click.option(
    "--environment",
    type=click.Choice(["none", "staging", "production"]),
    default="production",
    show_default=True,
    help="How far a version that passes its gate goes, as its policy allows.",
)
@click.option("--wait/--no-wait", default=False, help="Stay until the gate has spoken.")
@click.option("--output", help="File, or folder, for the model and its report; waits.")
@click.option("--report", "reports", type=PATH, help="Folder for the report; waits.")
@click.option("--key", help="Idempotency key: the same key is the same job, however often it is submitted.")
@json_option
def submit(
    *,
    spec: Path,
    data: Path,
    priority: str,
    environment: str,
    output: str | None,
    reports: Path | None,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Upload a table and ask for a training of SPEC on it.

    In GitHub Actions two runs for one commit are one job. Exit code with --wait as of `aihub run`: 0 the gate passed, 1 it
    failed, 2 bad input, 3 internal.
    """
    from aihub.cli import asking
    from aihub.cli.following import exit_code, folder_or_file, keep, request_of, tell_end, watch
    from aihub.client import Client
    from aihub.training.spec import load_spec

    request = request_of(load_spec(spec)) | {"priority": priority, "environment": environment}
    waits = wait or output is not None or reports is not None
    with Client() as client:
        job = asking.submit(client, request, data, key=key, quiet=as_json)
        if waits:
            job = watch(client, job.job_id, quiet=as_json)
        if (output or reports) and job.gate_passed is not None:
            target = None if output is None else folder_or_file(output)
            keep(client, job, output=target, reports=reports, quiet=as_json)
    if as_json:
        print_json(job.raw)
    elif waits:
        tell_end(job)
    return exit_code(job) if waits else 0


@jobs.command()
@_JOB
@click.option(
    "--follow/--no-follow",
    "-f",
    default=False,
    help="Stay until the job is over, and show lines as they come.",
)
@json_option
def logs(job_id: str, *, follow: bool, as_json: bool) -> None:
    """Show the log of a job; with --json one document a line.

    A job that waits for people is not over: leave it with Ctrl-C, it goes on by itself.
    """
    from aihub.client import Client

    with Client() as client:
        if follow and client.jobs.get(job_id).is_waiting:
            click.echo("The job waits for people: aihub approvals. Ctrl-C leaves it.", err=True)
        for line in client.jobs.follow(job_id) if follow else client.jobs.logs(job_id):
            if as_json:
                print_json(line.raw)
            else:
                stamp = f"{line.at:%H:%M:%S}" if line.at else ""
                click.echo(f"{stamp} {line.level:<7} {line.step}: {printable(line.message)}".strip())


@jobs.command()
@_JOB
@json_option
def cancel(job_id: str, *, as_json: bool) -> None:
    """Stop a job; one that runs stops within two seconds."""
    from aihub.client import Client

    with Client() as client:
        _told(client.jobs.cancel(job_id), as_json=as_json)


@jobs.command()
@_JOB
@json_option
def retry(job_id: str, *, as_json: bool) -> None:
    """Submit a job that has ended once more, as a new job."""
    from aihub.client import Client

    with Client() as client:
        _told(client.jobs.retry(job_id), as_json=as_json)


def _told(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(job.raw)
    else:
        click.echo(f"{job.job_id}: {job.status}")


@jobs.command()
@_JOB
@click.option("--through-approval", is_flag=True, help="Stay while a person is asked.")
@json_option
def watch(job_id: str, *, through_approval: bool, as_json: bool) -> int:
    """Show the steps of a job as they come, until its gate has spoken.

    Exit code as of `aihub run`: 0 the gate passed, 1 it failed, 2 bad input, 3 internal.
    """
    from aihub.cli import following
    from aihub.client import Client

    with Client() as client:
        job = following.watch(client, job_id, quiet=as_json, through_approval=through_approval)
    if as_json:
        print_json(job.raw)
    else:
        following.tell_end(job)
    return following.exit_code(job)
