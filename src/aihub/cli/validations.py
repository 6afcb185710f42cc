"""`aihub jobs validate`: have a hub's gate judge a version that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import print_json
from aihub.cli.options import PATH, json_option

if TYPE_CHECKING:
    from aihub.client import Client, Job


@click.command()
@click.argument("name")
@click.argument("version")
@click.option("--data", type=PATH, help="CSV (also compressed) or Parquet; it is uploaded.")
@click.option("--dataset", help="Id of a dataset that is on the hub, instead of --data.")
@click.option("--spec", type=PATH, help="Spec whose validation section sets thresholds and checks.")
@click.option("--target", help="Column with what really happened, where the version does not say it.")
@click.option("--timestamp", help="Column of time stamps, as for the target.")
@click.option("--series", "series_id", help="Column of series ids, as for the target.")
@click.option(
    "--environment",
    type=click.Choice(["none", "staging", "production"]),
    default="none",
    show_default=True,
    help="How far a version that passes its gate goes, as its policy allows.",
)
@click.option(
    "--lift-rejection", metavar="REASON", help="Lift an earlier rejection where it passes; for admins."
)
@click.option("--wait/--no-wait", default=False, help="Stay until the gate has spoken.")
@click.option("--report", "reports", type=PATH, help="Folder for the report; waits.")
@click.option("--key", help="Idempotency key: the same key is the same job, however often it is submitted.")
@json_option
def validate(
    name: str,
    version: str,
    *,
    data: Path | None,
    dataset: str | None,
    spec: Path | None,
    reports: Path | None,
    key: str | None,
    wait: bool,
    as_json: bool,
    **more: Any,
) -> int:
    """Have the gate judge VERSION of model NAME on a table, such as one that was trained elsewhere.

    VERSION is its number, v1.2.3 or git commit. The table holds rows that the model has not seen, with what really
    happened. Exit code with --wait as of `aihub run`: 0 the gate passed, 1 it failed, 2 bad input, 3 internal.
    """
    from aihub.cli.following import exit_code, keep, tell_end, watch
    from aihub.client import Client

    if (data is None) == (dataset is None):
        raise click.UsageError("give one of --data and --dataset")
    waits = wait or reports is not None
    request = {**more, "validation": _section(spec)}
    with Client() as client:
        job = _submit(client, name, version, data or str(dataset), request, key=key, quiet=as_json)
        if waits:
            job = watch(client, job.job_id, quiet=as_json)
        if reports is not None and job.gate_passed is not None:
            keep(client, job, reports=reports, quiet=as_json)
    if as_json:
        print_json(job.raw)
    elif waits:
        tell_end(job)
    return exit_code(job) if waits else 0


def _submit(
    client: Client,
    name: str,
    version: str,
    data: Path | str,
    request: dict[str, Any],
    *,
    key: str | None,
    quiet: bool,
) -> Job:
    from aihub.client.runs import key_of_run

    dataset = client.datasets.upload(data).dataset_id if isinstance(data, Path) else data
    whole = {field: value for field, value in request.items() if value} | {"dataset_id": dataset}
    key = key or key_of_run("validation", name, version, whole)
    job = client.models.validate(name, version, key=key, **whole)
    if not quiet:
        click.echo(f"Job created: {job.job_id}")
    return client.jobs.get(job.job_id) if job.replayed else job


def _section(spec: Path | None) -> dict[str, Any]:
    if spec is None:
        return {}
    from aihub.training.spec import load_spec

    return dict(load_spec(spec).validation)
