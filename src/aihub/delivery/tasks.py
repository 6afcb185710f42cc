"""What every worker does every so often, wherever it runs; one at a time does each."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aihub.delivery.periodic import Periodic

if TYPE_CHECKING:
    from datetime import datetime

    from aihub.hub import Hub


CATCH_UP_S = 3600.0


def _fire_schedules(hub: Hub, now: datetime) -> None:
    from aihub.delivery.schedules import fire_due

    fire_due(hub.engine, now=now, audit=hub.audit)


def _send_effects(hub: Hub, now: datetime) -> None:
    from aihub.delivery.dispatch import DISPATCHERS
    from aihub.delivery.effects import send_due

    send_due(hub, now=now, dispatchers=DISPATCHERS)


def _mirror(hub: Hub, now: datetime) -> None:
    from aihub.delivery.dispatch import mirror_due

    mirror_due(hub, now=now)


def _answer_github(hub: Hub, now: datetime) -> None:
    if not hub.settings.github_webhook_secret.get_secret_value():
        return
    from aihub.github.effects import write_back
    from aihub.github.protection import webhooks_of

    webhooks_of(hub.settings, hub.engine, hub.audit).decide_pending(now)
    write_back(hub.engine, now=now, within=timedelta(seconds=2 * CATCH_UP_S))


def _catch_up_github(hub: Hub, now: datetime) -> None:
    """Find what was deployed while no worker ran."""
    if not hub.settings.github_webhook_secret.get_secret_value():
        return
    from aihub.github.effects import ASKED_WITHIN, write_back

    write_back(hub.engine, now=now, within=ASKED_WITHIN)


def _carry_out_due(hub: Hub, now: datetime) -> None:
    from aihub.delivery.due import run_due
    from aihub.delivery.live import LiveFigures

    run_due(hub, now, LiveFigures(hub))


def _forget_answers(hub: Hub, now: datetime) -> None:
    from aihub.store.engine import EVERY_TENANT, write
    from aihub.store.idempotency import sweep

    with write(hub.engine, tenant=EVERY_TENANT) as connection:
        sweep(connection, now=now)


def _forget_predictions(hub: Hub, now: datetime) -> None:
    from aihub.serving.retention import forget_old

    forget_old(hub.engine, hub.observations, now)


def _sweep(hub: Hub, now: datetime) -> None:
    """Sweep the folder that all machines share; where there is a bucket, what each has are copies that are kept in bounds."""
    if hub.settings.artifacts:
        return
    from aihub.delivery.sweeping import sweep

    sweep(hub, now)


def _sweep_machine(hub: Hub, now: datetime) -> None:
    """Sweep what only this machine sees."""
    if not hub.settings.artifacts:
        return
    from aihub.delivery.sweeping import sweep_machine

    sweep_machine(hub, now)


def _sweep_bucket(hub: Hub, now: datetime) -> None:
    if not hub.settings.artifacts:
        return
    from aihub.delivery.orphans import sweep

    sweep(hub, now)


def _fold(hub: Hub, now: datetime) -> None:
    del now
    hub.observations.fold_waiting()


def _watch(hub: Hub, now: datetime) -> None:
    from aihub.delivery.watch import evaluate

    evaluate(hub, now)


PERIODICS = (
    Periodic("schedules", 5.0, _fire_schedules, is_shared=True),
    Periodic("effects", 1.0, _send_effects, is_shared=True),
    Periodic("deliveries", 60.0, _carry_out_due),
    Periodic("mlflow", 5.0, _mirror),
    Periodic("fold", 2.0, _fold),
    Periodic("retention", 3600.0, _forget_predictions),
    Periodic("sweep", 3600.0, _sweep),
    Periodic("sweep-machine", 3600.0, _sweep_machine, is_shared=True),
    Periodic("sweep-bucket", 86_400.0, _sweep_bucket),
    Periodic("watch", 6 * 3600.0, _watch),
    Periodic("github", 10.0, _answer_github),
    Periodic("github-catch-up", CATCH_UP_S, _catch_up_github),
    Periodic("answers", 3600.0, _forget_answers),
)
