"""Carry out what the outbox asks for at other systems: notices, GitHub, the mirror in MLflow.

An entry is taken for a while, done, and then noted as done. A process that dies in between leaves it to be done again
after that while: outside of the database an effect is done at least once, with a key by which the receiver knows it. What
fails is tried again after growing pauses; what can never succeed, and what failed too often, is laid aside as dead until
a person replays it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from aihub.errors import AIHubError, ConflictError, TooManyError, UnavailableError
from aihub.store import outbox
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aihub.hub import Hub
    from aihub.store.outbox import Taken

    Send: TypeAlias = "Callable[[Hub, Taken, datetime], None]"

TAKEN_FOR_S = 180.0
"""How long an entry is left to the one who took it."""
BATCH = 20
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0
MAX_ATTEMPTS = 15
"""More than half a day of pauses."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dispatcher:
    """Carries out the entries whose topic begins with `prefix`; what it raises says whether another try may help."""

    prefix: str
    send: Send


def send_due(hub: Hub, *, now: datetime, dispatchers: Sequence[Dispatcher]) -> int:
    """Carry out what is due, oldest first; returns how many entries were looked at. Any number of processes may do so."""
    looked_at, began = 0, monotonic()
    prefixes = [dispatcher.prefix for dispatcher in dispatchers]
    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        if not outbox.has_due(connection, prefixes, now=now):
            return 0
    while True:
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            # A slow system may have taken minutes since `now`: what is taken is ours from this moment on.
            moment = now + timedelta(seconds=monotonic() - began)
            until = moment + timedelta(seconds=TAKEN_FOR_S)
            taken = outbox.take(connection, prefixes, now=now, until=until, limit=BATCH)
        taken_at = monotonic()
        for entry in taken:
            if monotonic() - taken_at > TAKEN_FOR_S / 2:
                # The rest is left to whoever takes it when its time is up: two would carry it out.
                break
            send = next(one.send for one in dispatchers if entry.topic.startswith(one.prefix))
            _attempt(hub, entry, send)
        looked_at += len(taken)
        if len(taken) < BATCH:
            return looked_at


def _attempt(hub: Hub, entry: Taken, send: Send) -> None:
    now = datetime.now(UTC)
    try:
        send(hub, entry, now)
    except (UnavailableError, ConflictError) as failure:
        _try_later(
            hub,
            entry,
            str(failure),
            now,
            wait_s=failure.retry_after_s if isinstance(failure, TooManyError) else 0.0,
        )
    except AIHubError as failure:
        _LOG.warning("effect %s %s is laid aside: %s", entry.topic, entry.key, failure)
        with write(hub.engine, tenant=entry.tenant) as connection:
            outbox.lay_aside(connection, entry_id=entry.id, error=str(failure), now=now)
    except Exception as failure:  # noqa: BLE001 - the border of an effect: the others are carried out
        _try_later(hub, entry, f"{type(failure).__name__}: {failure}", now)
    else:
        with write(hub.engine, tenant=entry.tenant) as connection:
            outbox.finish(connection, entry_id=entry.id, now=now)


def _try_later(hub: Hub, entry: Taken, error: str, now: datetime, *, wait_s: float = 0.0) -> None:
    with write(hub.engine, tenant=entry.tenant) as connection:
        if entry.attempts + 1 >= MAX_ATTEMPTS:
            _LOG.warning("effect %s %s is laid aside after %d attempts", entry.topic, entry.key, MAX_ATTEMPTS)
            outbox.lay_aside(connection, entry_id=entry.id, error=error, now=now)
        else:
            later = now + timedelta(seconds=max(pause_s(entry.attempts), wait_s))
            outbox.fail(connection, entry_id=entry.id, error=error, next_at=later)


def pause_s(attempts: int) -> float:
    """Seconds until the next try after so many that failed before this one.

    >>> [pause_s(attempts) for attempts in (0, 1, 2, 20)]
    [5.0, 10.0, 20.0, 3600.0]
    """
    return float(min(FIRST_PAUSE_S * 2 ** min(attempts, 20), LONGEST_PAUSE_S))
