"""From a file to a `PreparedTable`: read, check, repair, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.training.config import TrainingConfig
    from aihub.training.data.table import PreparedTable


def load(path: Path | str, config: TrainingConfig) -> PreparedTable:
    """Read, check and repair the file at `path`."""
    raise NotImplementedError
