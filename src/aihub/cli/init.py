"""`aihub init`: the guide's pipeline in a repository of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from aihub.errors import InputError


@click.command()
@click.option(
    "--path",
    "folder",
    default="ai-hub",
    show_default=True,
    help="Folder of the models in the repository; . for all of it.",
)
@click.option(
    "--provider",
    type=click.Choice(["github"]),
    default="github",
    show_default=True,
    help="Whose workflows to write.",
)
@click.option("--yes", is_flag=True, help="Overwrite what differs without asking.")
def init(folder: str, provider: str, *, yes: bool) -> None:
    """Write workflows, specs and a section of the README into the repository that the current folder is in.

    New files are written; a file that differs is shown as a diff first and overwritten only with --yes or when asked.
    Run it again after an upgrade: what is as it should be stays untouched. A repository has one pipeline: with another
    --path than the first one it is refused.
    """
    del provider  # the only one; the option says so
    from aihub.github.setup import changes, write

    root = _root(Path.cwd())
    found = changes(root, folder)
    for change in found:
        name = change.path.relative_to(root)
        if change.is_new:
            write(change)
            click.echo(f"new      {name}")
            continue
        click.echo(change.diff(root))
        if yes or _agreed(f"Overwrite {name}?"):
            write(change)
            click.echo(f"changed  {name}")
        else:
            click.echo(f"kept     {name}")
    if not found:
        click.echo("everything is as it should be")


def _agreed(question: str) -> bool:
    """Ask; where nobody can answer, the answer is no."""
    try:
        return click.confirm(question, default=False)
    except click.Abort:
        click.echo("")
        return False


def _root(folder: Path) -> Path:
    for one in (folder, *folder.parents):
        if (one / ".git").exists():
            return one
    raise InputError("this folder is in no git repository; run `git init` first, or go into one")
