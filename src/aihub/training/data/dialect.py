"""Separator, header and quoting of a CSV file, told from its first lines and the columns that are asked for."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from aihub.training.data.limits import Limits

_HEAD_BYTES = 256 * 1024
_HEAD_LINES = 50
_SEPARATORS = ",;\t|"
_VALUE = re.compile(r"\s*(?:[-+]?[\d.,:/\sTZ+-]*\d[\d.,:/\sTZ+eE-]*|nan|na|n/a|null|)\s*", re.IGNORECASE)


_VALUE_CHARS = 100
"""No value is longer, and looking takes time by the square of the length."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    separator
        Between two fields.
    header
        Names of the columns, as they are written (without surrounding blanks).
    skipped_lines
        Blank lines before the header.
    lines_before_rows
        All lines before the first row: blank ones, those of the header, and blank ones that follow it.
    """

    separator: str
    header: tuple[str, ...]
    skipped_lines: int
    lines_before_rows: int


def find_dialect(path: Path, wanted: Collection[str], *, label: str, limits: Limits) -> Dialect:
    """Tell the dialect: the separator that finds most of the `wanted` columns, then the one that splits most evenly.

    Raises
    ------
    DataError
        There is no header line, only a header line, or it names more columns than the limit.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    text = head.decode("utf-8", errors="ignore").removeprefix("\ufeff")
    if "\n" not in text and "\r" in text.strip():
        raise DataError("has line ends of old Macs (CR only). Save it with LF or CRLF line ends.", file=label)
    lines = text.split("\n")
    skipped = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    if skipped == len(lines):
        raise DataError("is empty. Send a table with a header line.", file=label)
    spanned = _lines_of_header(lines[skipped:])
    lines[skipped : skipped + spanned] = ["\n".join(lines[skipped : skipped + spanned])]
    sample = [line.rstrip("\r") for line in lines[skipped : skipped + _HEAD_LINES]]
    names = frozenset(wanted)
    separator = max(_SEPARATORS, key=lambda candidate: _fit(sample, candidate, names))
    header = tuple(name.strip() for name in _split(sample[0], separator))
    if len(header) > limits.columns:
        raise DataError(
            f"has {len(header)} columns, more than {limits.columns}. Keep those you need.", file=label
        )
    if not names.intersection(header) and all(
        len(name) <= _VALUE_CHARS and _VALUE.fullmatch(name) for name in header
    ):
        example = separator.join(list(wanted)[: len(header)])
        raise DataError(
            f"has no header line: it starts with {sample[0][:60]!r}. Add one, such as {example!r}.",
            file=label,
        )
    following = lines[skipped + 1 :]
    blank = next((i for i, line in enumerate(following) if line.strip()), 0)
    return Dialect(separator, header, skipped, skipped + spanned + blank)


def _lines_of_header(lines: list[str]) -> int:
    """Count the lines that the header takes: a name in quotes may hold line ends."""
    return max(_lines_of_record(lines, separator) for separator in _SEPARATORS)


def _lines_of_record(lines: list[str], separator: str) -> int:
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator, strict=True)
    try:
        next(reader)
    except csv.Error:
        return 1
    return reader.line_num


def _fit(sample: list[str], separator: str, wanted: frozenset[str]) -> tuple[int, int]:
    rows = [_split(line, separator) for line in sample]
    found = len(wanted.intersection(name.strip() for name in rows[0]))
    width = len(rows[0])
    evenly = sum(len(row) == width for row in rows) if width > 1 else 0
    return found, evenly


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error:
        return [line]
