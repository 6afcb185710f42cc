"""Who carries out which topic of the outbox.

``notify.<event>`` becomes one entry per channel that hears of it, in one transaction, so that each channel is told once and
is tried again on its own. What a channel hears together waits as ``held.<channel>`` for one ``digest.<channel>`` entry
per moment.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aihub.delivery.effects import Dispatcher
from aihub.errors import NotFoundError
from aihub.store import outbox
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.hub import Hub
    from aihub.notify.config import Channel, NotifyConfig
    from aihub.notify.message import Notice
    from aihub.notify.routing import Delivery
    from aihub.store.outbox import Entry, Taken

NOTIFY = "notify."
CHANNEL = "channel."
DIGEST = "digest."
HELD = "held."
GITHUB = "github."
MLFLOW = "mlflow."
MLFLOW_TIMEOUT_S = 240.0


def _config(hub: Hub) -> NotifyConfig:
    from aihub.notify.config import load

    return load(hub.settings.notify_file)


def _fan_out(hub: Hub, entry: Taken, now: datetime) -> None:
    """Write an entry for each channel that hears of this one; nothing is sent yet."""
    from aihub.delivery.notices import notice_of
    from aihub.notify.routing import deliveries

    config = _config(hub)
    if not config.routes:
        return
    for channel, definition in config.channels.items():
        notice = notice_of(
            hub.registry_of(entry.tenant),
            event=entry.topic.removeprefix(NOTIFY),
            key=entry.key,
            payload=entry.payload,
            at=entry.created_at,
            base_url=config.base_url,
            link_secret=_link_secret(hub),
            approver=getattr(definition, "approver", ""),
        )
        found = [one for one in deliveries(notice, config.routes, now) if one.channel == channel]
        with write(hub.engine, tenant=entry.tenant) as connection:
            for one in found:
                _put(connection, entry.tenant, one, notice, now)


def _put(connection: Connection, tenant: str, delivery: Delivery, notice: Notice, now: datetime) -> None:
    def put(topic: str, key: str, payload: dict[str, Any]) -> None:
        outbox.put(
            connection, tenant=tenant, topic=topic, key=key, payload=payload, now=now, not_before=delivery.at
        )

    content = {"notice": notice.to_dict()}
    if not delivery.is_digest:
        put(f"{CHANNEL}{delivery.channel}", notice.key, content)
        return
    put(f"{HELD}{delivery.channel}", notice.key, content)
    # However many are held for a moment, one entry tells them.
    moment = delivery.at.isoformat()
    put(f"{DIGEST}{delivery.channel}", moment, {"at": moment})


def _link_secret(hub: Hub) -> bytes:
    from aihub.notify.links import link_key

    return link_key(hub.audit.key)


def _channel(hub: Hub, name: str) -> Channel:
    config = _config(hub)
    if name not in config.channels:
        raise NotFoundError("channel", name, config.channels)
    return config.channels[name]


def _tell(hub: Hub, entry: Taken, now: datetime) -> None:
    from aihub.notify.channels import send

    del now
    send(_channel(hub, entry.topic.removeprefix(CHANNEL)), _notice(entry))


def _tell_together(hub: Hub, entry: Taken, now: datetime) -> None:
    """Tell all that was held for the moment of this entry."""
    from aihub.notify.channels import send
    from aihub.notify.message import digest_of

    name = entry.topic.removeprefix(DIGEST)
    at = datetime.fromisoformat(entry.payload["at"])
    with read(hub.engine, tenant=entry.tenant) as connection:
        held = outbox.held(connection, tenant=entry.tenant, topic=f"{HELD}{name}", at=at)
    notices = [_notice(one) for one in held]
    if not notices:
        return
    together = notices[0] if len(notices) == 1 else digest_of(notices, key=f"digest:{entry.key}", at=now)
    send(_channel(hub, name), together)
    with write(hub.engine, tenant=entry.tenant) as connection:
        for one in held:
            outbox.finish(connection, entry_id=one.id, now=now)


def _notice(entry: Entry) -> Notice:
    from aihub.notify.message import Notice

    return Notice.from_dict(entry.payload["notice"])


def _at_github(hub: Hub, entry: Taken, now: datetime) -> None:
    from aihub.github.effects import carry_out, client_of

    carry_out(
        entry.topic,
        entry.payload,
        client=client_of(hub.settings),
        engine=hub.engine,
        audit=hub.audit,
        tenant=entry.tenant,
        now=now,
    )


DISPATCHERS = (
    Dispatcher(NOTIFY, _fan_out),
    Dispatcher(CHANNEL, _tell),
    Dispatcher(DIGEST, _tell_together),
    Dispatcher(GITHUB, _at_github),
)


def mirror_due(hub: Hub, *, now: datetime) -> None:
    """Bring MLflow up to date in processes of their own, a tenant at a time; what fails waits for a growing time."""
    from aihub.registry import mlflow

    with read(hub.engine, tenant=EVERY_TENANT) as connection:
        tenants = outbox.tenants_with_due(connection, MLFLOW, now=now)
    for tenant in tenants:
        process = mlflow.start(hub.settings, tenant=tenant)
        if process is None:
            return
        try:
            answer, _ = process.communicate(timeout=MLFLOW_TIMEOUT_S)
            error = json.loads(answer)["error"]
        except (ValueError, KeyError, subprocess.TimeoutExpired):
            error = "the mirror ended without an answer"
        finally:
            process.kill()
        if error:
            with write(hub.engine, tenant=tenant) as connection:
                outbox.put_off(connection, MLFLOW, tenant=tenant, until=now + timedelta(seconds=60))
