"""`aihub tenants`: who shares the hub, and what each may at most."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from aihub.cli.administration import administration
from aihub.cli.console import print_json, table
from aihub.cli.options import json_option
from aihub.errors import InputError

if TYPE_CHECKING:
    from aihub.cli.administration import Shown

_RULE = click.option(
    "--rule", "rules", multiple=True, metavar="NAME=VALUE",
    help="A limit, its value in YAML: max_running_jobs=8, auto_deploy=[staging]; no value: the default.",
)  # fmt: skip


@click.group()
def tenants() -> None:
    """Make, list and change tenants: of the hub AIHUB_URL, else of this machine's own database."""


@tenants.command()
@click.argument("name")
@_RULE
@json_option
def create(name: str, rules: tuple[str, ...], *, as_json: bool) -> None:
    """Make the tenant NAME."""
    wanted = _merged({}, rules)
    with administration() as hub:
        made = hub.create_tenant(name, rules=wanted)
    _show(made, as_json=as_json)


@tenants.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the tenants."""
    with administration() as hub:
        found = list(hub.tenants())
    if as_json:
        print_json({"tenants": found})
    elif found:
        table(
            ["tenant", "active", "rules beyond the defaults", "made (UTC)", "by"],
            [
                [
                    tenant["id"],
                    "yes" if tenant["is_active"] else "no",
                    _rules(tenant),
                    f"{datetime.fromisoformat(tenant['created_at']):%Y-%m-%d %H:%M}",
                    tenant["created_by"],
                ]
                for tenant in found
            ],
        )
    else:
        click.echo("No tenant yet. Make one: aihub tenants create NAME")


@tenants.command("set")
@click.argument("name")
@_RULE
@click.option(
    "--active/--inactive", "is_active", default=None, help="Whether the tenant's keys count at all."
)
@click.option("--reason", default="", help="Why; it is kept in the audit log.")
@json_option
def set_(name: str, rules: tuple[str, ...], reason: str, *, is_active: bool | None, as_json: bool) -> None:
    """Change limits of the tenant NAME, or switch it off or on."""
    with administration() as hub:
        wanted = _merged(hub.tenant(name)["rules"], rules)
        changed = hub.change_tenant(name, rules=wanted, is_active=is_active, reason=reason)
    _show(changed, as_json=as_json)


def _merged(before: Any, rules: tuple[str, ...]) -> dict[str, Any]:
    """Return the rules with those that were given on the command line, checked as a whole."""
    from aihub.delivery.policy import TenantRules
    from aihub.training.yaml_text import parse_yaml

    wanted = dict(before)
    for rule in rules:
        name, separator, text = rule.partition("=")
        if not separator:
            raise InputError(f"rule {rule[:80]!r} is not of the form NAME=VALUE")
        if text.strip():
            wanted[name.strip()], _ = parse_yaml(text, label=f"rule {name.strip()}")
        else:
            wanted.pop(name.strip(), None)
    return TenantRules.model_validate(wanted).model_dump(mode="json", exclude_unset=True)


def _show(tenant: Shown, *, as_json: bool) -> None:
    if as_json:
        print_json(tenant)
    else:
        state = "" if tenant["is_active"] else ", switched off"
        click.echo(f"tenant {tenant['id']}: {_rules(tenant) or 'default rules'}{state}")


def _rules(tenant: Shown) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(tenant["rules"].items()))
