"""`aihub report`: reports that were written before, read again: a verdict, and what GitHub shows of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aihub.cli.console import print_json
from aihub.cli.options import PATH, json_option
from aihub.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aihub.github.summary import Judged

MAX_REPORT_BYTES = 64 << 20


@click.command()
@click.argument("paths", type=PATH, nargs=-1, required=True)
@click.option(
    "--github",
    is_flag=True,
    help="Also write the step summary, annotations, the pull request's comment and a check.",
)
@click.option("--specs", type=PATH, help="Spec, or folder of specs, on whose lines annotations are placed.")
@json_option
def report(paths: tuple[Path, ...], *, github: bool, specs: Path | None, as_json: bool) -> int:
    """Show the verdict of reports (files `report.json`, or folders that hold some).

    Exit codes: 0 every gate passed, 1 one failed, 2 a report is missing or cannot be read.
    """
    from aihub.github.summary import all_passed

    judged = [_judged(file, specs) for file in _files(paths)]
    if github:
        _show_in_github(judged)
    if as_json:
        print_json(
            [
                {"name": one.name, "passed": one.report.passed, "failures": one.report.failures}
                for one in judged
            ]
        )
    else:
        for one in judged:
            click.echo(
                f"{one.name}: {'passed' if one.report.passed else 'FAILED: ' + one.report.failures[0]}"
            )
    return 0 if all_passed(judged) else 1


def _show_in_github(judged: Sequence[Judged]) -> None:
    from aihub.github import summary
    from aihub.github.publish import Run, publish

    run = Run.current()
    for note in summary.notes(judged):
        click.echo(note.to_command())
    if run.summary_file is not None:
        room = _room(run.summary_file)
        text = summary.render(judged, limit=room, report_url=run.report_url)
        if len(text.encode()) <= room:
            with run.summary_file.open("a", encoding="utf-8") as file:
                file.write(text)
        else:
            click.echo("note: no summary: the step has written too much of it already", err=True)
    comment = summary.render(judged, limit=summary.MAX_COMMENT_BYTES, report_url=run.report_url)
    check = summary.check_run(judged, sha=run.sha, report_url=run.report_url)
    for fault in publish(run, comment, check):
        click.echo(f"note: {fault}", err=True)


def _room(file: Path) -> int:
    """Bytes that are left of a step's summary: one that is too long is dropped whole."""
    from aihub.github.summary import MAX_SUMMARY_BYTES

    return max(0, MAX_SUMMARY_BYTES - (file.stat().st_size if file.exists() else 0))


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        below = sorted(path.glob("**/report.json")) if path.is_dir() else [path]
        if not below:
            raise DataError("holds no report.json. Name the folder given to --report.", file=str(path))
        found += below
    return found


def _judged(file: Path, specs: Path | None) -> Judged:
    from aihub.github.lines import lines_of, specs_in
    from aihub.github.summary import Judged, name_of
    from aihub.validation.report.json import read_json

    try:
        if file.stat().st_size > MAX_REPORT_BYTES:
            raise DataError(f"is larger than {MAX_REPORT_BYTES >> 20} MiB. Check the path.", file=str(file))
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}). Check the path.", file=str(file)) from error
    try:
        found = read_json(content)
    except InputError as error:
        raise DataError(str(error), file=str(file)) from error
    name = name_of(found)
    spec = None if specs is None else specs_in(specs).get(name)
    return Judged(
        name=name,
        report=found,
        spec=None if spec is None else _in_repository(spec),
        lines={} if spec is None else lines_of(spec.read_text(encoding="utf-8")),
    )


def _in_repository(file: Path) -> str | None:
    """Path as GitHub wants it: relative to the checkout, with slashes; None elsewhere, where no annotation can stand.

    GitHub refuses the whole check for one path that is none of the repository's.
    """
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    full = file.resolve()
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else None
