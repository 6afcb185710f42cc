"""The commit of a version that was deployed is tagged in the checkout that the command is called in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aihub.errors import AIHubError

if TYPE_CHECKING:
    from collections.abc import Callable

tag_option = click.option(
    "--tag/--no-tag",
    default=True,
    show_default=True,
    help="In a checkout: tag the version's commit as model/NAME/v1.2.3 once it serves; nothing is pushed.",
)


def tell_tag(
    model: str, semantic: str, commit_of: Callable[[], str | None], *, environment: str, reason: str
) -> None:
    """Tag a version's commit here and say with which tag, or why with none; what is deployed stays so whatever git says.

    Says it on the error output: the other one may be read by a machine.
    """
    from aihub.registry.tags import NO_CHECKOUT, tag_commit

    message = f"{model} {semantic} deployed to {environment}: {' '.join(reason.split())}"
    try:
        commit = commit_of()
        tag = tag_commit(Path.cwd(), model=model, semantic=semantic, commit=commit, message=message)
    except AIHubError as error:
        click.echo(f"Not tagged: {error}", err=True)
        return
    if tag.reason == NO_CHECKOUT:
        # Nobody here expects a tag.
        return
    if not tag.name:
        click.echo(f"Not tagged: {tag.reason}.", err=True)
    elif tag.is_new:
        click.echo(f"Tagged {str(commit)[:12]} as {tag.name}; next: git push origin {tag.name}", err=True)
    else:
        click.echo(f"Commit {str(commit)[:12]} is tagged already as {tag.name}.", err=True)
