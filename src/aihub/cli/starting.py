"""The start of what runs for long: a fleet's machines come up in any order, so that the database may be the last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from aihub.errors import UnavailableError

if TYPE_CHECKING:
    import threading
    from contextlib import ExitStack

    from aihub.hub import Hub
    from aihub.settings import Settings

PAUSE_S = 1.0


def open_in_time(stack: ExitStack, settings: Settings, stopping: threading.Event) -> Hub:
    """Open the hub until `stack` ends; waits for a database that does not answer yet.

    Raises
    ------
    UnavailableError
        It did not answer within `Settings.start_timeout_s`, or until the process was asked to stop.
    ConfigError
        A setting cannot be used.
    """
    from aihub.hub import opened

    until, is_said = time.monotonic() + settings.start_timeout_s, False
    while True:
        try:
            return stack.enter_context(opened(settings))
        except UnavailableError as failure:
            if time.monotonic() + PAUSE_S > until or stopping.wait(PAUSE_S):
                raise
            if not is_said:
                click.echo(f"{failure}; trying for {settings.start_timeout_s:.0f} s", err=True)
            is_said = True
