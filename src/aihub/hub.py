"""The composition root: settings in, a wired hub out. Nothing else in the project builds these parts."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from aihub.registry.registry import Registry
    from aihub.settings import Settings


@dataclass(frozen=True)
class Hub:
    """The parts of one hub, wired."""

    settings: Settings
    engine: Engine
    registry: Registry


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Hub]:
    """Open the hub that `settings` (default: the environment) describe, bring its tables up to date, close it at the end.

    Raises
    ------
    ConfigError
        A setting cannot be used.
    UnavailableError
        The database does not answer.
    """
    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.registry import Registry
    from aihub.settings import from_environment
    from aihub.store import engine as engines
    from aihub.store import schema

    settings = settings or from_environment()
    engine = engines.create(settings.store_url, journal=settings.sqlite_journal)
    try:
        schema.upgrade(engine)
        yield Hub(settings, engine, Registry(engine, ArtifactStore(settings.artifacts_dir)))
    finally:
        engine.dispose()
