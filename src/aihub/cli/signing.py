"""`aihub signing`: keys, signatures over versions, and whether they hold."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json
from aihub.cli.options import PATH, is_remote, json_option
from aihub.errors import ArtifactError, ConflictError
from aihub.hub import opened

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def signing() -> None:
    """Sign versions and check signatures."""


@signing.command("new-key")
@click.argument("file", type=PATH)
def new_key(file: Path) -> None:
    """Write a new Ed25519 key to FILE, readable by you alone, and its public half to FILE.pub.

    Point AIHUB_SIGNING_KEY_FILE of the hub at FILE, and AIHUB_TRUSTED_KEYS_FILE of whoever checks at FILE.pub.
    """
    from aihub.registry.signing import new_key as make

    private, public = make()
    public_file = file.with_name(f"{file.name}.pub")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened_file:
            opened_file.write(private)
    except FileExistsError:
        raise ConflictError(f"{file} exists; a key is never overwritten, name another file") from None
    public_file.write_bytes(public)
    click.echo(f"Private key: {file}\nPublic key:  {public_file}")


@signing.command("sign")
@click.argument("name")
@click.argument("version")
@json_option
def sign(name: str, version: str, *, as_json: bool) -> None:
    """Sign VERSION of model NAME with the key of AIHUB_SIGNING_KEY_FILE."""
    with opened() as hub:
        key = hub.registry.sign(name, version, actor=getuser(), now=datetime.now(UTC))
    _show(name, version, [key], "signed by", as_json=as_json)


@signing.command("verify")
@click.argument("name")
@click.argument("version")
@json_option
def verify(name: str, version: str, *, as_json: bool) -> None:
    """Check that a trusted key has signed VERSION of model NAME as it is now; exit code 2 where none has.

    With AIHUB_URL the hub checks, and its trusted keys count; else those of AIHUB_TRUSTED_KEYS_FILE.
    """
    if is_remote():
        from aihub.client import Client

        with Client() as client:
            found = client.models.signatures(name, version)
        if not found["holds"]:
            raise ArtifactError(str(found["reason"]))
        _show(name, version, found["keys"], "signature holds, by", as_json=as_json)
        return
    with opened() as hub:
        keys = hub.registry.check_signature(hub.registry.version(name, version))
    _show(name, version, keys, "signature holds, by", as_json=as_json)


def _show(name: str, version: str, keys: list[str], word: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"model": name, "version": version, "keys": keys})
    else:
        click.echo(f"{name} {version}: {word} {', '.join(key[:16] for key in keys)}")
