"""Header of Weka's attribute-relation format; the data section below it is CSV.

Format: Witten, Frank, Hall, Pal, *Data Mining*, 4th edition, appendix B; sparse rows are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S+)\s+(.+)", re.IGNORECASE)
_MAX_HEADER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class ArffHeader:
    """Names of the columns and the byte at which the data begins."""

    names: tuple[str, ...]
    data_offset: int


def looks_like_arff(path: Path) -> bool:
    """Whether the first line that is neither blank nor a comment names a relation."""
    with path.open("rb") as stream:
        lines = stream.read(65536).decode("utf-8", errors="ignore").removeprefix("\ufeff").splitlines()
    first = next((line.strip() for line in lines if line.strip() and not line.startswith("%")), "")
    return first.lower().startswith("@relation")


def read_header(path: Path, *, label: str) -> ArffHeader:
    """Read the attributes up to ``@data``.

    Raises
    ------
    DataError
        There is no ``@data`` line, no attribute, or an attribute that cannot be read.
    """
    names: list[str] = []
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.decode("utf-8", errors="replace").removeprefix("\ufeff").strip()
            lowered = line.lower()
            if lowered.startswith("@data"):
                if not names:
                    raise DataError("names no attribute before @data. Check the header.", file=label)
                return ArffHeader(tuple(names), stream.tell())
            if lowered.startswith("@attribute"):
                match = _ATTRIBUTE.fullmatch(line)
                if match is None:
                    raise DataError(f"line {number} is no attribute: {line[:60]!r}. Correct it.", file=label)
                names.append(match.group(1).strip("'\""))
            if stream.tell() > _MAX_HEADER_BYTES:
                break
    raise DataError("has no @data section. Send the whole file.", file=label)
