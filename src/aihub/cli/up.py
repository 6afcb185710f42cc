"""`aihub up` and `aihub serve`: the hub as a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from aihub.settings import Settings

host_option = click.option("--host", help="Address to listen on; default AIHUB_HOST, this machine only.")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; default AIHUB_PORT, 8000."
)


@click.command()
@host_option
@port_option
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="Jobs at the same time.",
)
def up(host: str | None, port: int | None, concurrency: int) -> None:
    """Run API, serving, worker and scheduler in one process, until Ctrl-C.

    The first start prints the key of an operator, once.
    """
    settings = _settings(host, port)

    def begin(hub: Hub) -> Callable[[], None]:
        from aihub.delivery.worker import Worker

        worker = Worker(hub, concurrency=concurrency, grace_s=settings.stop_timeout_s / 2)
        worker.start()
        return worker.stop

    _run(settings, begin)


@click.command()
@host_option
@port_option
def serve(host: str | None, port: int | None) -> None:
    """Run the API and the serving of models; jobs wait for `aihub worker` processes."""
    _run(_settings(host, port), lambda _: lambda: None)


def _settings(host: str | None, port: int | None) -> Settings:
    from aihub.settings import from_environment

    given: dict[str, Any] = {"host": host, "port": port}
    return from_environment(**{name: value for name, value in given.items() if value is not None})


def _run(settings: Settings, begin: Callable[[Hub], Callable[[], None]]) -> None:
    """Open the hub, begin what runs beside the API, serve, and put everything in order at the end."""
    import threading
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from aihub import asgi, logs, traces
    from aihub.auth import Authenticator, bootstrap
    from aihub.cli.starting import open_in_time

    logs.configure(settings.log_level, settings.log_form)
    stopping = threading.Event()
    with ExitStack() as stack:
        tracing = traces.tracing(settings.otel_endpoint)
        stack.callback(tracing.close)
        hub = open_in_time(stack, settings, stopping)
        token = bootstrap(hub, datetime.now(UTC))
        access = Authenticator.of(hub)
        stack.callback(access.close)
        pool = hub.serving_pool()
        # The hub listens at once; models come into memory behind it, those that are asked for first.
        pool.start(on_loaded=asgi.settle_memory)
        stack.callback(pool.stop)
        app = asgi.build(hub, access=access, tracing=tracing, pool=pool, stopping=stopping)
        stack.callback(begin(hub))
        asgi.serve(hub, app, stopping=stopping, on_ready=lambda url: _say(url, token))


def _say(url: str, token: str | None) -> None:
    click.echo(f"AI Hub listens on {url} (what there is: {url}/docs)")
    if token:
        click.echo(f"Key of the first operator, shown only now: {token}")
        click.echo(f"Try it: export AIHUB_URL={url} AIHUB_API_KEY={token}")
