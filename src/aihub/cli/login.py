"""`aihub login`: a credential for a job of GitHub Actions, from the job's own token."""

from __future__ import annotations

import os
from pathlib import Path

import click

from aihub.errors import ConfigError


@click.command()
@click.option("--url", envvar="AIHUB_URL", help="Address of the hub (AIHUB_URL).")
@click.option(
    "--audience",
    envvar="AIHUB_AUDIENCE",
    help="Who the token is for: AIHUB_GITHUB_AUDIENCE of the hub; by default its address (AIHUB_AUDIENCE).",
)
@click.option("--tenant", envvar="AIHUB_TENANT", help="Tenant, where several trust this job (AIHUB_TENANT).")
def login(url: str | None, audience: str | None, tenant: str | None) -> None:
    """Sign in to the hub as this job of GitHub Actions, without any stored secret.

    The job needs `permissions: id-token: write`. The credential lives for an hour; following steps of the job find it in
    AIHUB_API_KEY, and logs show it as stars.
    """
    from aihub.client import address
    from aihub.github.runner import request_token, sign_in

    if not url:
        raise ConfigError(
            "no hub is named; set AIHUB_URL, for example as a variable of the repository", field="AIHUB_URL"
        )
    # The token is a key for some minutes: it goes where a key may go.
    url = address.find(url, key="token").url
    given = sign_in(url, request_token(audience or url), tenant=tenant)
    # Masked before anything could print it.
    click.echo(f"::add-mask::{given['credential']}")
    file = os.environ.get("GITHUB_ENV")
    if not file:
        raise ConfigError(
            "GITHUB_ENV is not set: following steps would not find the credential", field="GITHUB_ENV"
        )
    with Path(file).open("a", encoding="utf-8") as variables:
        variables.write(f"AIHUB_API_KEY={given['credential']}\n")
    click.echo(f"signed in to {url} as {given['role']} of {given['tenant']} until {given['expires_at']}")
