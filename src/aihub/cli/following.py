"""A job of a hub, watched from afar: its steps as they come, its end as an exit code, its model and report as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import printable, shown_progress
from aihub.delivery.progress import StepAdvanced, StepFinished, StepStarted
from aihub.errors import AIHubError, ConflictError, InputError, NotFoundError, StoppedError, UnavailableError

if TYPE_CHECKING:
    from aihub.client import Client, Job
    from aihub.delivery.progress import Listener
    from aihub.training.spec import ModelSpec

MODEL_FILE = "model.aihub"
GATE_FAILED = 1
_BAD_INPUT = {
    "bad_input",
    "bad_config",
    "bad_data",
    "not_found",
    "cannot_validate",
    "bad_artifact",
    "forbidden",
}


def request_of(spec: ModelSpec) -> dict[str, Any]:
    """Return what `client.jobs.submit` needs to know of a specification."""
    config = spec.training.model_dump(mode="json", exclude_unset=True)
    request = {"config": config, "model_type": spec.training.model_type.value, "name": spec.name}
    return {**request, "validation": spec.validation, "policy": spec.policy, "serving": spec.serving}


def watch(client: Client, job_id: str, *, quiet: bool = False, through_approval: bool = False) -> Job:
    """Show the steps of a job until it is over or, unless `through_approval`, waits for a person; return it."""
    with shown_progress(quiet=quiet) as listener:
        steps = _Steps(listener)
        return client.jobs.wait(job_id, on_progress=steps.see, through_approval=through_approval)


class _Steps:
    """Tells a listener what is new in each look at a job."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._started: set[str] = set()
        self._finished: set[str] = set()

    def see(self, job: Job) -> None:
        for step in job.steps:
            name = str(step["name"])
            if name in self._finished:
                continue
            if name not in self._started:
                self._started.add(name)
                self._listener(StepStarted(name))
            if step["status"] != "running":
                self._finished.add(name)
                note = step.get("note") or step["status"]
                self._listener(StepFinished(name, str(note), float(step.get("duration_s") or 0.0)))
            elif name == job.step:
                self._listener(StepAdvanced(name, job.step_progress))


def exit_code(job: Job) -> int:
    """Return the exit code of `aihub run` for a job: 0 the gate passed, 1 it failed, 2 bad input, 3 internal."""
    if job.status == "failed":
        code = (job.error or {}).get("code")
        return InputError.exit_code if code in _BAD_INPUT else AIHubError.exit_code
    if job.status == "cancelled":
        return StoppedError.exit_code
    return GATE_FAILED if job.gate_passed is False else 0


def tell_end(job: Job) -> None:
    """Say in a line or two what came of a job, and what is to be done next."""
    result = job.result or {}
    named = " ".join(str(result[name]) for name in ("model", "semantic") if result.get(name)) or job.model
    if job.status == "failed":
        why = str((job.error or {}).get("message", "without a word"))
        click.echo(f"Job failed: {printable(why)}", err=True)
    elif job.status == "cancelled":
        click.echo("Job cancelled.", err=True)
    elif job.gate_passed is False:
        reason = printable(str(result.get("reason") or "its report says why"))
        click.echo(f"Gate failed: {named} is {result.get('status') or 'rejected'}; {reason}.")
    elif job.is_waiting:
        approval = result.get("approval_id")
        click.echo(f"Gate passed: {named} waits for an approval.")
        click.echo(f"Next: aihub approve {approval} --reason TEXT" if approval else "Next: aihub approvals")
    elif not job.is_judged:
        click.echo(f"Job is {job.status}; it goes on: aihub jobs watch {job.job_id}")
    elif result.get("delivery") in {"held", "refused"}:
        click.echo(f"Gate passed: {named} is not deployed: {printable(str(result.get('reason')))}.")
    elif result.get("delivery") == "rolling_out":
        click.echo(f"Gate passed: {named} runs beside the champion until its live figures decide.")
    elif result.get("environment"):
        click.echo(f"Gate passed: {named} serves in {result['environment']}.")
    else:
        click.echo(f"Gate passed: {named} is a candidate.")


def keep(
    client: Client, job: Job, *, output: Path | None = None, reports: Path | None = None, quiet: bool = False
) -> None:
    """Write the model and the report of a job, and say where unless `quiet`.

    Parameters
    ----------
    output
        A file for the model, whatever its suffix, or a folder: one that is there, or a path that ends with a slash.
    reports
        Folder for every form of the report; None: that of the model.

    Raises
    ------
    ConflictError
        The job has made no version.
    """
    version = (job.result or {}).get("version")
    if job.model is None or version is None:
        raise ConflictError(f"job {job.job_id} has made no version, so there is no model to write")
    if output is not None:
        target = output / MODEL_FILE if output.is_dir() else output
        client.models.download(job.model, version, target)
        if not quiet:
            click.echo(f"Model: {target}")
        reports = reports or target.parent
    if reports is not None:
        written = _keep_report(client, job, version, reports)
        if not quiet and written is not None:
            click.echo(f"Report: {written}")


def _keep_report(client: Client, job: Job, version: int, folder: Path) -> Path | None:
    from aihub.validation.report import read_json, write_reports

    # A validation may have added its report beside the one that decided the version's state.
    digest = (job.result or {}).get("report_digest") if job.raw.get("kind") == "validate" else None
    try:
        report = client.models.report(job.model or "", version, digest=digest)
    except NotFoundError:
        return None
    return write_reports(read_json(json.dumps(report)), folder)["report.html"]


def folder_or_file(text: str) -> Path:
    """Read the argument of ``--output``: a path with a slash at its end is a folder, which is made."""
    path = Path(text)
    if text.endswith("/"):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"folder {path} cannot be made ({error.strerror}); name another") from None
    return path


def fail(error: AIHubError) -> int:
    """Say on the error output what went wrong, and return the exit code; for scripts, which have no border of their own."""
    click.echo(f"error: {error}", err=True)
    if isinstance(error, UnavailableError):
        click.echo("Nothing is lost: try again later.", err=True)
    return error.exit_code
