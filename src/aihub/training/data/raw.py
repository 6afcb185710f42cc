"""Reads only the columns that are asked for, as they are written; types and repairs come later."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError, did_you_mean
from aihub.training.config import TrainingConfig
from aihub.training.data import arff
from aihub.training.data.dialect import find_dialect
from aihub.training.data.parquet import read_parquet
from aihub.training.data.sources import Source, pick_member, pieces, sha256, sniff
from aihub.training.data.spool import TextFile, spool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from aihub.training.data.limits import Limits
    from aihub.training.data.table import DataNote

    _Choose: TypeAlias = Callable[[Sequence[str]], list[str]]
    _Scan: TypeAlias = Callable[[Sequence[str]], pl.DataFrame]

ROW = "__row"
"""Column that carries the 1-based line of data through every step."""
MISSING_WORDS = (
    "", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "none", "-", "--", "?", "#N/A", "#NV",
    "missing", "nil", ".", "<NA>", "NaT",
)  # fmt: skip


@dataclass(frozen=True)
class RawTable:
    """Columns as read: text from CSV and ARFF (numbers where a whole column is clean), typed from Parquet."""

    frame: pl.DataFrame
    sha256: str
    notes: tuple[DataNote, ...]


def read(
    source: Source, *, wanted: Sequence[str], numeric: Sequence[str], optional: Sequence[str], limits: Limits
) -> RawTable:
    """Read the `wanted` columns; those in `numeric` are tried as numbers first, those in `optional` may be absent.

    Raises
    ------
    DataError
        The file is damaged, of an unknown format, beyond the limits, or lacks a column.
    """
    before = _state(source.path)
    with tempfile.TemporaryDirectory(prefix="aihub-read-") as name:
        folder = Path(name)
        frame, notes = _read_into(
            source, folder, wanted=wanted, numeric=numeric, optional=optional, limits=limits
        )
    # After the checks: a file that they refuse need not be read to its end.
    digest = sha256(source.path)
    if _state(source.path) != before:
        raise DataError("changed while it was read. Run again when it is complete.", file=source.label)
    frame = _without_blank_end(frame)
    if frame.height == 0:
        raise DataError("has a header but no rows. Send a table with data.", file=source.label)
    if frame.height > limits.rows:
        raise DataError(f"has more than {limits.rows} rows. Split it.", file=source.label)
    return RawTable(frame.with_row_index(ROW, offset=1), digest, notes)


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _without_blank_end(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out the blank lines that many programs write after the last row."""
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    if not frame.height or filled[-1]:
        return frame
    known = filled.arg_true()
    return frame.head(known[-1] + 1 if len(known) else 0)


def _read_into(
    source: Source,
    folder: Path,
    *,
    wanted: Sequence[str],
    numeric: Sequence[str],
    optional: Sequence[str],
    limits: Limits,
) -> tuple[pl.DataFrame, tuple[DataNote, ...]]:
    def choose(names: Sequence[str]) -> list[str]:
        return _choose(names, wanted, optional, label=source.label)

    if source.kind == "parquet":
        return read_parquet(source.path, choose, label=source.label, limits=limits), ()
    if source.kind == "zip" and sniff(next(pieces(source), b"")[:16]) == "parquet":
        return read_parquet(_unpacked(source, folder, limits), choose, label=source.label, limits=limits), ()
    if source.kind not in {"text", "zip", "gzip", "xz", "bzip2", "zstd"}:
        raise DataError(
            f"is {source.kind}, which cannot be read. Send CSV, Parquet or ARFF.", file=source.label
        )
    text = spool(source, folder, limits)
    if arff.looks_like_arff(text.path):
        return _read_arff(text, folder, choose, source.label), text.notes
    return _read_csv(
        text, choose, wanted=wanted, numeric=numeric, label=source.label, limits=limits
    ), text.notes


def _choose(names: Sequence[str], wanted: Sequence[str], optional: Sequence[str], *, label: str) -> list[str]:
    chosen = []
    for name in wanted:
        if name.startswith("__"):
            raise DataError(
                "names with two underscores first are ours. Rename the column.", file=label, column=name
            )
        if names.count(name) > 1:
            raise DataError("two columns have this name. Rename one.", file=label, column=name)
        if name in names:
            chosen.append(name)
        elif name not in optional:
            near = did_you_mean(name, names)
            # The name that holds where the spec has none: its reader may never have written it.
            is_default = name == TrainingConfig.model_fields["timestamp"].default
            step = "Say which column holds the times: timestamp: NAME." if is_default else "Correct the name."
            raise DataError(f"there is no such column.{near} {step}", file=label, column=name)
    return chosen


def _unpacked(source: Source, folder: Path, limits: Limits) -> Path:
    if pick_member(source).file_size > limits.cells_bytes:
        raise DataError("holds a Parquet file that is too large. Send it unpacked.", file=source.label)
    target = folder / "table.parquet"
    with target.open("wb") as file:
        written = 0
        for piece in pieces(source):
            written += file.write(piece)
            if written > limits.cells_bytes:
                raise DataError(
                    "holds a Parquet file that is too large. Send it unpacked.", file=source.label
                )
    return target


def _read_csv(
    text: TextFile,
    choose: _Choose,
    *,
    wanted: Sequence[str],
    numeric: Sequence[str],
    label: str,
    limits: Limits,
) -> pl.DataFrame:
    dialect = find_dialect(text.path, wanted, label=label, limits=limits)
    chosen = choose(dialect.header)

    # Every column gets its position as name, so that blanks, marks and doubles in the header cannot confuse the reader.
    positions = {name: f"c{dialect.header.index(name)}" for name in chosen}
    names = [f"c{i}" for i in range(len(dialect.header))]

    def scan(numbers: Sequence[str]) -> pl.DataFrame:
        schema = {name: pl.String() for name in names} | {positions[name]: pl.Float64() for name in numbers}
        lazy = pl.scan_csv(
            text.path,
            separator=dialect.separator,
            has_header=False,
            skip_lines=dialect.lines_before_rows,
            schema=schema,
            null_values=list(MISSING_WORDS),
            glob=False,
        )
        return lazy.select(pl.col(positions[name]).alias(name) for name in chosen).collect()

    return _parsed(scan, [name for name in numeric if name in chosen], text.path, dialect.separator, label)


def _read_arff(text: TextFile, folder: Path, choose: _Choose, label: str) -> pl.DataFrame:
    header = arff.read_header(text.path, label=label)
    chosen = choose(header.names)
    data = folder / "data.csv"
    with text.path.open("rb") as whole, data.open("wb") as part:
        whole.seek(header.data_offset)
        head = whole.peek(256) if isinstance(whole, io.BufferedReader) else b""
        if head.lstrip().startswith(b"{"):
            raise DataError("has sparse rows. Save it in the dense form.", file=label)
        shutil.copyfileobj(whole, part, 1024 * 1024)
    if data.stat().st_size == 0:
        raise DataError("has a header but no rows. Send a table with data.", file=label)

    def scan(_numbers: Sequence[str]) -> pl.DataFrame:
        lazy = pl.scan_csv(
            data,
            has_header=False,
            quote_char="'",
            comment_prefix="%",
            schema={f"c{i}": pl.String() for i in range(len(header.names))},
            null_values=list(MISSING_WORDS),
            glob=False,
        )
        return lazy.select(pl.col(f"c{header.names.index(name)}").alias(name) for name in chosen).collect()

    return _parsed(scan, (), data, ",", label)


def _parsed(scan: _Scan, numeric: Sequence[str], path: Path, separator: str, label: str) -> pl.DataFrame:
    """Read with numbers first; where a cell is no number, read that again as text, to be looked at closely."""
    try:
        return scan(numeric)
    except pl.exceptions.PolarsError as first:
        error = first
    try:
        return scan(())
    except pl.exceptions.NoDataError:
        raise DataError("has a header but no rows. Send a table with data.", file=label) from None
    except pl.exceptions.PolarsError:
        row, reason = _broken_line(path, separator)
        raise DataError(
            reason or f"cannot be read ({_first_line(error)}). Correct the line.", file=label, row=row
        ) from None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:120]


def _broken_line(path: Path, separator: str) -> tuple[int | None, str | None]:
    """Find the first line with more fields than the header, or a quote that nothing ends; only called when the fast reader gave up."""
    number = 0
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        try:
            rows = csv.reader(stream, delimiter=separator, strict=True)
            width = len(next(rows, []))
            for number, fields in enumerate(rows, start=1):
                if len(fields) > width:
                    return number, f"has {len(fields)} fields where the header has {width}. Correct the line."
        except csv.Error as error:
            return number + 1, f"cannot be read ({error}). Close or remove the quote that is open there."
    return None, None
