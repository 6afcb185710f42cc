"""Every table of the hub, by import: what migrations and tests compare the database with."""

from __future__ import annotations

from aihub.store import (
    access_tables,
    engine_tables,
    github_tables,
    job_tables,
    monitoring_tables,
    signature_tables,
    tables,
    validation_tables,
)
from aihub.store.columns import metadata

__all__ = [
    "access_tables",
    "engine_tables",
    "github_tables",
    "job_tables",
    "metadata",
    "monitoring_tables",
    "signature_tables",
    "tables",
    "validation_tables",
]
