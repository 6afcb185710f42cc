"""Parquet: looked at before it is read, because its readers trust what the footer says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from aihub.errors import DataError
from aihub.training.data.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aihub.training.data.limits import Limits

_MAGIC = b"PAR1"
_MOST_DIGITS = 38


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
    import pyarrow.parquet as pq  # noqa: PLC0415

    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(-min(4, stream.tell()), 2)
        if stream.read(4) != _MAGIC:
            raise DataError("is a Parquet file that was cut off. Transfer it again.", file=label)
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        names = list(schema.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"is a damaged Parquet file ({_short(error)}). Transfer it again.", file=label
        ) from None
    if metadata.num_rows > limits.rows:
        raise DataError(f"has {metadata.num_rows} rows, more than {limits.rows}. Split it.", file=label)
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
    size = metadata.num_rows * 8 * len(chosen)
    if size > limits.cells_bytes:
        raise DataError(f"would take {size // MIB} MiB of memory. Keep fewer columns or rows.", file=label)
    try:
        frame = pl.scan_parquet(path, glob=False).select(chosen).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise DataError(
            f"is a damaged Parquet file ({_short(error)}). Transfer it again.", file=label
        ) from None
    for name, dtype in frame.schema.items():
        if dtype.is_nested() or dtype == pl.Binary:
            raise DataError(f"holds {dtype}, not single values. Unnest it.", file=label, column=name)
    return frame


def _digits(kind: Any) -> int:
    """Digits of a decimal, 0 of other kinds."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    return int(kind.precision) if pa.types.is_decimal(kind) else 0


def _short(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
