"""Parquet: looked at before it is read, because its readers trust what the footer says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

import polars as pl

from aihub.errors import DataError
from aihub.training.data.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aihub.training.data.limits import Limits

_MAGIC = b"PAR1"
_MOST_DIGITS = 38
_ZONE = re.compile(r"tz=([^\]]*)\]")


def read_parquet(
    path: Path, choose: Callable[[Sequence[str]], list[str]], *, label: str, limits: Limits
) -> pl.DataFrame:
    """Read the columns that `choose` picks from the file's names.

    Raises
    ------
    DataError
        The file is cut off, damaged, encrypted, beyond the limits, or a column is nested.
    """
    import pyarrow as pa  # noqa: PLC0415 - 0.1 s that a CSV does not need

    rows, schema = _summary(path, label)
    names = list(schema.names)
    if rows > limits.rows:
        raise DataError(f"has {rows} rows, more than {limits.rows}. Split it.", file=label)
    if len(names) > limits.columns:
        raise DataError(
            f"has {len(names)} columns, more than {limits.columns}. Keep those you need.", file=label
        )
    chosen = choose(names)
    wide = next((name for name in chosen if _digits(schema.field(name).type) > _MOST_DIGITS), None)
    if wide is not None:
        kind = schema.field(wide).type
        message = f"holds {kind}; at most {_MOST_DIGITS} digits are read. Write it as DOUBLE."
        raise DataError(message, file=label, column=wide)
    # Dictionaries make a page tiny; what counts is what the values take when unpacked, at least 8 bytes each.
    size = rows * 8 * len(chosen)
    if size > limits.cells_bytes:
        raise DataError(f"would take {size // MIB} MiB of memory. Keep fewer columns or rows.", file=label)
    try:
        if _has_odd_zone(schema):
            frame = _in_utc(path, chosen)
        else:
            frame = pl.scan_parquet(path, glob=False).select(chosen).collect()
    except (
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        pa.ArrowException,
        OSError,
        ValueError,
    ) as error:
        raise _damaged(error, label) from None
    for name, dtype in frame.schema.items():
        if dtype.is_nested():
            raise DataError(f"holds {dtype}, not single values. Unnest it.", file=label, column=name)
        if dtype == pl.Binary:
            raise DataError("holds bytes. Write it as numbers or text.", file=label, column=name)
    return frame


def column_names(path: Path, *, label: str) -> list[str]:
    """Names of the columns of a Parquet file, in order.

    Raises
    ------
    DataError
        The file is cut off, damaged or encrypted.
    """
    return list(_summary(path, label)[1].names)


def _summary(path: Path, label: str) -> tuple[int, Any]:
    """Rows and Arrow schema of a file, as its end says."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(-min(4, stream.tell()), 2)
        if stream.read(4) != _MAGIC:
            raise DataError("is a Parquet file that was cut off. Transfer it again.", file=label)
    try:
        metadata = pq.read_metadata(path)
        return int(metadata.num_rows), metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error, label) from None


def _has_odd_zone(schema: Any) -> bool:
    """Whether any column has a zone that polars knows nothing of, such as +05:30: it then panics over the whole file."""
    zones = {zone for field in schema for zone in _ZONE.findall(str(field.type))}
    return not zones <= {"UTC"} and not zones <= available_timezones()


def _in_utc(path: Path, chosen: Sequence[str]) -> pl.DataFrame:
    """Read columns with Arrow. The moments are in UTC whatever the zone, which says only how they are shown."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    table = pq.ParquetFile(path).read(columns=list(chosen)).select(list(chosen))
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            utc = table.column(at).cast(pa.timestamp(field.type.unit, "UTC"))
            table = table.set_column(at, field.name, utc)
    return pl.DataFrame(pl.from_arrow(table))


def _damaged(error: BaseException, label: str) -> DataError:
    return DataError(f"is a damaged Parquet file ({_short(error)}). Transfer it again.", file=label)


def _digits(kind: Any) -> int:
    """Digits of a decimal, 0 of other kinds."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    return int(kind.precision) if pa.types.is_decimal(kind) else 0


def _short(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
