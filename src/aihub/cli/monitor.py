"""`aihub monitor`: how the models that serve do, what the watch says, and repair of the windows."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.console import print_json, table
from aihub.cli.options import json_option
from aihub.errors import NotFoundError
from aihub.settings import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[str], dict[str, Any]]

OK, DEGRADED = 0, 1
WORSE = 0.20
"""The guide's limit."""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--days", type=click.IntRange(1, 3660), default=7, show_default=True, help="Days looked back.")
@json_option
def monitor(names: tuple[str, ...], *, days: int, as_json: bool) -> int:
    """Show how models do: of the hub at AIHUB_URL, else of this machine's own. Without NAMES all of them.

    `aihub monitor look NAME` evaluates the watch rules of a model now, `aihub monitor repair NAME` computes its windows
    again from the raw log; both work on this machine's hub.

    Exit codes: 0 nothing wrong, 1 degraded or drift, 2 bad input, 3 internal error.
    """
    if len(names) == 2 and names[0] in ("look", "repair"):  # noqa: PLR2004 - the word and a name
        return _look(names[1], as_json=as_json) if names[0] == "look" else _repair(names[1])
    end = datetime.now(UTC)
    with _asked(end - timedelta(days=days), end) as (every, ask):
        found = [ask(name) for name in names or every]
    if as_json:
        print_json({"models": found})
    else:
        _show(found)
    return DEGRADED if any(troubles(one) for one in found) else OK


def _repair(name: str) -> int:
    from aihub.hub import opened

    with opened() as hub:
        days, rows = hub.observations.repair(DEFAULT_TENANT, name)
    click.echo(f"{name}: {rows:,} predictions of {days} days were read and their windows computed again")
    return OK


def _look(name: str, *, as_json: bool) -> int:
    from aihub.delivery.watch import evaluate_model
    from aihub.hub import opened

    with opened() as hub:
        look = evaluate_model(hub, DEFAULT_TENANT, name, datetime.now(UTC))
    found: dict[str, Any] = {"model": name, "state": "not deployed", "actions": [], "notes": []}
    if look is not None:
        found = look.to_dict()
    if as_json:
        print_json(found)
    else:
        click.echo(f"{name}: {found['state']}")
        for note in found["notes"]:
            click.echo(f"  {note}")
        for action in found["actions"]:
            click.echo(f"  {action['action']}: {action['reason']}")
    return DEGRADED if found["actions"] else OK


@contextmanager
def _asked(start: datetime, end: datetime) -> Iterator[tuple[list[str], Ask]]:
    """Open whatever answers: the hub elsewhere, or the one of this machine."""
    if os.environ.get("AIHUB_URL"):
        from aihub.client import Client

        with Client() as client:
            names = [model.name for model in client.models.list() if model.serving]
            yield names, lambda name: client.models.performance(name, start_date=start, end_date=end)
        return
    from aihub.hub import opened

    with opened() as hub:
        own, known = hub.observations, hub.registry.models()

        def ask(name: str) -> dict[str, Any]:
            if name not in known:
                raise NotFoundError("model", name, known)
            return own.performance(DEFAULT_TENANT, name, start, end).to_dict()

        yield [name for name in own.models(DEFAULT_TENANT) if name in known], ask


def drift_of(name: str, days: int, *, as_json: bool) -> int:
    """Show the features of a model that drifted; 0 for no drift, 1 for drift or not known."""
    end = datetime.now(UTC)
    with _asked(end - timedelta(days=days), end) as (_, ask):
        found = ask(name)
    drift, detected = found["data_drift"], found["data_drift_detected"]
    if as_json:
        print_json({"model": name, "data_drift_detected": detected, **drift})
    else:
        for one in drift["features"]:
            click.echo(
                f"  {one['feature']}: {one['test']}, effect {one['effect']:.3g} {one['unit']}. {one['note']}"
            )
        said = {True: "drift", False: "no drift", None: f"not known, {drift['reason']}"}
        click.echo(f"{name}: {said[detected]}")
    return OK if detected is False else DEGRADED


def troubles(found: dict[str, Any]) -> list[str]:
    """Say what is wrong with a model, from its performance; empty where nothing is."""
    said: list[str] = []
    worse = found.get("worse_than_promised")
    if worse is not None and worse > WORSE:
        said.append(f"error {worse:.0%} worse than validation promised")
    if found.get("data_drift_detected"):
        names = [one["feature"] for one in found["data_drift"]["features"]]
        said.append(f"drift of {', '.join(dict.fromkeys(names))}")
    said += [
        f"fault of the data: {fault['kind']}" + (f" of series {fault['series']!r}" if fault["series"] else "")
        for fault in found.get("faults", ())
    ]
    return said


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        click.echo("No model has predictions yet. Deploy one and ask it: aihub up, POST /models/NAME/predict")
        return

    def figure(one: dict[str, Any], *names: str) -> str:
        value = next((one[name] for name in names if one.get(name) is not None), None)
        return "" if value is None else f"{value:.4g}"

    table(
        ["model", "mae or f1", "promised", "coverage", "predictions", "actuals", "drift", "what is wrong"],
        [
            [
                one["model"],
                figure(one, "mae", "f1"),
                figure(one.get("promised") or {}, "mae", "f1_score"),
                figure(one, "interval_coverage"),
                f"{one['predictions']:,}",
                f"{one['actuals']:,}",
                {True: "yes", False: "no", None: "not known"}[one["data_drift_detected"]],
                "; ".join(troubles(one)) or one["reason"] or "",
            ]
            for one in found
        ],
    )
