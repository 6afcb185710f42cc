"""What a person sees: a progress display on a terminal, plain lines in a pipe, nothing but JSON with `--json`."""

from __future__ import annotations

import json
import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from aihub.delivery.progress import Event, Listener, Remark, StepAdvanced, StepFinished, StepStarted, ignore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


@contextmanager
def shown_progress(*, quiet: bool = False) -> Iterator[Listener]:
    """Yield a listener that shows the steps of a delivery as they come; with `quiet` it shows nothing."""
    if quiet:
        yield ignore
    elif is_terminal():
        with _live() as listener:
            yield listener
    else:
        yield _plain


def _plain(event: Event) -> None:
    if isinstance(event, StepFinished):
        click.echo(f"  {event.step}: {event.note or 'done'} ({event.duration_s:.1f} s)")
    elif isinstance(event, Remark):
        click.echo(f"  note: {event.text}")


@contextmanager
def _live() -> Iterator[Listener]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = Console(highlight=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[note]}", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def listen(event: Event) -> None:
            if isinstance(event, Remark):
                progress.console.print(f"  [yellow]note[/] {escape(event.text)}")
            elif isinstance(event, StepStarted):
                tasks[event.step] = progress.add_task(escape(event.step), total=None, note="")
            elif isinstance(event, StepAdvanced):
                progress.update(
                    tasks[event.step], total=1.0, completed=event.fraction, note=escape(event.note)
                )
            else:
                progress.remove_task(tasks.pop(event.step))
                note = escape(event.note or "done")
                progress.console.print(
                    f"  [green]✓[/] {escape(event.step)}  {note} [dim]{event.duration_s:.1f} s[/]"
                )

        yield listen


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table: drawn on a terminal, aligned columns in a pipe."""
    cells = [[_cell(value) for value in row] for row in rows]
    if is_terminal():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        drawn = Table(title=escape(title) or None, title_justify="left")
        for heading in headings:
            drawn.add_column(escape(heading), overflow="fold")
        for row in cells:
            drawn.add_row(*(escape(cell) for cell in row))
        Console(highlight=False).print(drawn)
        return
    if title:
        click.echo(title)
    widths = [max(len(line[i]) for line in [list(headings), *cells]) for i in range(len(headings))]
    for line in [list(headings), *cells]:
        click.echo(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}" if math.isfinite(value) else "-"
    return printable(str(value))


def printable(text: str) -> str:
    r"""Return a text as one line; reasons and names are other people's and must not steer the reader's terminal.

    >>> printable("a\x1b[2J\n::error::b")
    'a [2J ::error::b'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def print_json(value: Any) -> None:
    """Print one JSON document; numbers that JSON does not know become null."""
    click.echo(json.dumps(_finite(value), default=str, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
