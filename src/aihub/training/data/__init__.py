"""Reading, checking and repairing the table that a model is trained on."""

from aihub.training.data.table import (
    DataFingerprint,
    DataNote,
    PreparedTable,
    load,
    split,
    split_time,
)

__all__ = ["DataFingerprint", "DataNote", "PreparedTable", "load", "split", "split_time"]
