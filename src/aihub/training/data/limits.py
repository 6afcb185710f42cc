"""How much one input file may hold. Beyond these it is refused while it is being read, not after."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one file.

    Attributes
    ----------
    text_bytes
        Size of the text after decompression.
    ratio
        Decompressed by compressed size, looked at from `ratio_from_bytes` on. Real tables stay below 30;
        a bomb is near 1000.
    line_bytes
        Longest line; a row of a million columns is longer.
    columns
        Most columns of a table.
    rows
        Most rows of a table.
    cells_bytes
        Most bytes that the columns of a Parquet file may take when unpacked.
    """

    text_bytes: int = 8 * 1024 * MIB
    ratio: int = 200
    ratio_from_bytes: int = 16 * MIB
    line_bytes: int = MIB
    columns: int = 10_000
    rows: int = 200_000_000
    cells_bytes: int = 16 * 1024 * MIB


DEFAULT_LIMITS = Limits()
