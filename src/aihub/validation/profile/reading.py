"""Summaries of columns of any library, and files a row group at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np

from aihub.errors import DataError
from aihub.validation.profile.categories import CategorySummary, label
from aihub.validation.profile.numeric import NumericSummary
from aihub.validation.vectors import array, category_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aihub.types import FloatArray


def summarise(native: Any, name: str) -> NumericSummary | CategorySummary:
    """Summary of one column, as its own library holds it.

    Numbers and booleans are numeric, time stamps and durations are numeric of kind ``"time"``, all others are
    categories. A column of objects is numeric where every entry is a number; one without any value is numeric.
    """
    series = (
        native
        if isinstance(native, nw.Series)
        else nw.from_native(native, series_only=True, pass_through=True)
    )
    if isinstance(series, nw.Series):
        dtype = series.dtype
        if dtype in (nw.String, nw.Categorical) or isinstance(dtype, nw.Enum):
            return _counted(series)
        values = array(series, name)
        is_time = isinstance(dtype, nw.Datetime | nw.Duration) or dtype == nw.Date
    else:
        values = array(series, name)
        is_time = getattr(getattr(native, "dtype", None), "kind", "") in {"m", "M"}
    if values.dtype == object and values.size and _are_instants(values):
        values, is_time = values.astype("datetime64[us]"), True
    if values.dtype.kind == "M":
        return NumericSummary.of(seconds(values), kind="time")
    if values.dtype == np.float64:
        return NumericSummary.of(values, kind="time" if is_time else "number")
    return CategorySummary.of(values.tolist())


def seconds(stamps: Any) -> FloatArray:
    """Seconds since 1970 of ``datetime64`` values; NaN where there is none."""
    micros = stamps.astype("datetime64[us]")
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)


def _are_instants(values: Any) -> bool:
    from datetime import date  # noqa: PLC0415 - only for columns of objects

    kinds = {type(v) for v in values if v is not None}
    return bool(kinds) and kinds <= {date}


def _counted(series: nw.Series[Any]) -> CategorySummary:
    """Count dictionary codes."""
    counted, missing = category_counts(series)
    counts: dict[str, int] = {}
    for text, count in counted.items():
        name = label(text)
        counts[name] = counts.get(name, 0) + count
    return CategorySummary.from_counts(counts, missing)


class ParquetGroup:
    """One row group of a Parquet file; a column is read when it is asked for."""

    def __init__(self, file: Any, index: int) -> None:
        self._file, self._index = file, index

    def __getitem__(self, name: str) -> Any:
        return self._file.read_row_group(self._index, columns=[name], use_threads=False).column(0)


def batches(path: str | Path) -> Iterator[tuple[tuple[str, ...], int, Any]]:
    """Names, rows and columns of each part of a Parquet or CSV file, one part in memory at a time.

    Raises
    ------
    DataError
        The file cannot be read; the message names it.
    """
    import pyarrow as pa  # noqa: PLC0415 - only for files

    source = Path(path)
    try:
        if source.suffix in {".parquet", ".pq"}:
            yield from _parquet(source)
        else:
            yield from _csv(source)
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"cannot be read: {error}. Give a CSV or Parquet file.", file=str(source)) from error


def _parquet(source: Path) -> Iterator[tuple[tuple[str, ...], int, Any]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only for files

    with pq.ParquetFile(source, memory_map=False, pre_buffer=False) as file:
        names = _unique(file.schema_arrow.names, source)
        for index in range(file.num_row_groups):
            yield names, file.metadata.row_group(index).num_rows, ParquetGroup(file, index)
        if not file.num_row_groups:
            yield names, 0, {name: file.schema_arrow.empty_table().column(name) for name in names}


def _csv(source: Path) -> Iterator[tuple[tuple[str, ...], int, Any]]:
    import pyarrow.csv  # noqa: PLC0415 - only for files

    read = pyarrow.csv.ReadOptions(block_size=16 << 20, use_threads=False)
    with pyarrow.csv.open_csv(source, read_options=read) as reader:
        names = _unique(reader.schema.names, source)
        for batch in reader:
            yield names, batch.num_rows, pyarrow.Table.from_batches([batch])


def _unique(names: Sequence[str], source: Path) -> tuple[str, ...]:
    for name in names:
        if list(names).count(name) > 1:
            raise DataError("two columns share this name; rename one", file=str(source), column=name)
    return tuple(names)
