"""Any table file as a data frame, when no configuration says what its columns mean."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from aihub.errors import DataError
from aihub.training.data.arff import looks_like_arff, read_header
from aihub.training.data.dialect import find_dialect
from aihub.training.data.limits import DEFAULT_LIMITS
from aihub.training.data.parquet import column_names as parquet_names
from aihub.training.data.raw import MISSING_WORDS, ROW, read
from aihub.training.data.sources import locate
from aihub.training.data.spool import spool
from aihub.training.data.stamps import countable, parse_stamps

if TYPE_CHECKING:
    from collections.abc import Collection

    from aihub.training.data.sources import Source

MOST_TEXT_SHARE = 0.05
"""Up to this share of words in a column of numbers is a fault of single cells, which become missing with a note."""

_LIKE_A_STAMP = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


def read_table(path: Path | str, *, only: Collection[str] | None = None) -> tuple[pl.DataFrame, list[str]]:
    """Read every column of a CSV, Parquet or ARFF file (also compressed), with a sentence per repair.

    Text that is numbers becomes Float64, text that is times ``Datetime("us", "UTC")``, all other text stays.

    Parameters
    ----------
    only
        Columns to read where the file has them; faults of others are none then.

    Raises
    ------
    DataError
        The file cannot be read; the message says where and what to do.
    """
    source = locate(path)
    names, are_numbers = _names(source)
    if only is not None:
        names = [name for name in names if name in only]
        if not names:
            return pl.DataFrame(), []
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise DataError("two columns have this name. Rename one.", file=source.label, column=doubled)
    numeric = names if are_numbers else []
    raw = read(source, wanted=names, numeric=numeric, optional=(), limits=DEFAULT_LIMITS)
    notes = [note.message for note in raw.notes]
    rows = raw.frame.get_column(ROW)
    columns = [_typed(raw.frame.get_column(name), rows, source.label, notes) for name in names]
    return pl.DataFrame(columns), notes


def _names(source: Source) -> tuple[list[str], bool]:
    """Columns of the file, and whether reading them as numbers is worth a try."""
    if source.kind == "parquet":
        return parquet_names(source.path, label=source.label), False
    with tempfile.TemporaryDirectory(prefix="aihub-read-") as name:
        text = spool(source, Path(name), DEFAULT_LIMITS)
        if looks_like_arff(text.path):
            return list(read_header(text.path, label=source.label).names), False
        header = find_dialect(text.path, (), label=source.label, limits=DEFAULT_LIMITS).header
    return list(header), True


def _typed(column: pl.Series, rows: pl.Series, label: str, notes: list[str]) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime) or column.dtype == pl.Date:
        kept, _ = countable(column)
        far = kept.null_count() - column.null_count()
        if far:
            row = rows.filter(kept.is_null() & column.is_not_null())[0]
            notes.append(
                f"{far} values of {column.name!r} are of no year that is taken and count as missing (first in row {row})."
            )
        return _in_utc(kept)
    if column.dtype != pl.String:
        return column.cast(pl.String) if isinstance(column.dtype, pl.Categorical | pl.Enum) else column
    words = column.str.strip_chars()
    words = words.set(words.is_in(list(MISSING_WORDS)), None)
    known = len(words) - words.null_count()
    numbers = words.cast(pl.Float64, strict=False)
    is_text = words.is_not_null() & numbers.is_null()
    faults = int(is_text.sum())
    if faults <= known * MOST_TEXT_SHARE:
        if faults:
            row = rows.filter(is_text)[0]
            notes.append(
                f"{faults} of {known} values of {column.name!r} are no numbers and count as missing (first in row {row})."
            )
        return numbers
    first = words.drop_nulls()[0]
    if not _LIKE_A_STAMP.match(first):
        return words
    try:
        stamps = parse_stamps(column, rows, label=label)
    except DataError:
        return words  # dates in some cells only: categories, whoever needs times will say so
    return _in_utc(stamps.column).alias(column.name)


def _in_utc(stamps: pl.Series) -> pl.Series:
    """Make times aware; naive ones are taken for UTC, because nothing says otherwise."""
    if isinstance(stamps.dtype, pl.Datetime) and stamps.dtype.time_zone is not None:
        return stamps.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return stamps.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
