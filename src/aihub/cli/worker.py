"""`aihub worker`: take jobs, on this machine, for a hub whose database others share."""

from __future__ import annotations

import signal
import threading

import click


@click.command()
@click.option("--queues", default="default", show_default=True, help="Queues to take jobs from, by comma.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Jobs at the same time; each trains in a process of its own.",
)
def worker(queues: str, concurrency: int) -> None:
    """Take jobs until SIGTERM or Ctrl-C; running ones get a little time and are then given back to others."""
    from contextlib import ExitStack

    from aihub import logs
    from aihub.cli.starting import open_in_time
    from aihub.delivery.worker import Worker
    from aihub.settings import from_environment

    names = tuple(name.strip() for name in queues.split(",") if name.strip())
    if not names:
        raise click.UsageError("no queue is named; leave --queues out for the usual one")
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    settings = from_environment()
    logs.configure(settings.log_level, settings.log_form)
    with ExitStack() as stack:
        hub = open_in_time(stack, settings, asked)
        working = Worker(hub, queues=names, concurrency=concurrency)
        working.start()
        click.echo(
            f"worker {working.name} takes jobs from {', '.join(names)}, {concurrency} at the same time"
        )
        asked.wait()
        click.echo("stopping: running jobs are ended or given back")
        working.stop()
