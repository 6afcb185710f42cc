"""See whether a stored model loads, without loading it here: a native model can end the process that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub.registry import artifacts, boosters
from aihub.registry.files import read_regular
from aihub.registry.sandbox import Child, Limits

if TYPE_CHECKING:
    from pathlib import Path


def try_artifact(path: Path, limits: Limits | None = None) -> None:
    """Check an artefact's structure, then load its native models and ask them in a child process.

    Raises
    ------
    ArtifactError
        The file is missing or damaged, or a model in it does not load or does not answer.
    """
    limits = limits or Limits()
    artifact = artifacts.read_bytes(read_regular(path), source=str(path))
    _, models = boosters.check_native(artifact.files)
    if models:
        with Child(memory_bytes=limits.memory_bytes) as child:
            boosters.try_out(child, models, timeout_s=limits.timeout_s)
