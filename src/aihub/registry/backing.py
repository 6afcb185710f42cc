"""What stands behind a folder of files that are named by their SHA-256 digest: nothing, or a bucket that a fleet shares.

Content under a digest never changes, so a copy is never out of date; it can only be missing or damaged.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from aihub.settings import Settings

Kind = Literal["artifacts", "datasets"]


class Backing(Protocol):
    """Lets the machines of a fleet see each other's files. The files' names begin with their digest, two levels deep."""

    def bring(self, path: Path, digest: str) -> None:
        """Let the file with this digest lie at `path`, if it can be had from elsewhere.

        Raises
        ------
        ArtifactError
            It is nowhere, or what is there has another digest.
        UnavailableError
            It could not be asked for, or not be written.
        """

    def publish(self, path: Path, digest: str) -> None:
        """Let every machine have the file at `path`; once this returns, a row may name it. Idempotent.

        Raises
        ------
        ArtifactError
            The file has another digest.
        UnavailableError
            It could not be stored.
        """

    def workspace(
        self, root: Path, given: Mapping[Path, str], check: Callable[[], None]
    ) -> AbstractContextManager[Path]:
        """Return a folder in which those of the `given` files of `root` lie that can be had; publishes what is added to it.

        `check` raises where that is to stop; it is asked while files are fetched, or cannot be stored.

        Raises
        ------
        UnavailableError
            A file could not be asked for, or not be stored.
        """

    def held(
        self, path: Path, digest: str, name: Path, check: Callable[[], None]
    ) -> AbstractContextManager[Path]:
        """Return the file, which stays until the end of the block, at `path` or under a `name` of its own.

        `check` raises where that is to stop; it is asked while the file is fetched. Raises as `bring`.
        """

    def keep(self, paths: Sequence[Path]) -> None:
        """Let these files stay on this machine for the time being: they are in use."""

    def sweep(self, named: Callable[[list[str]], set[str]], now: datetime) -> int:
        """Delete what has been of no use to any machine for long; returns how many files.

        Parameters
        ----------
        named
            Returns those of some digests that a row names.

        Raises
        ------
        UnavailableError
            It does not answer.
        """

    def probe(self) -> str:
        """Write, read and remove something, and return where that was.

        Raises
        ------
        ConfigError
            It is another hub's.
        UnavailableError
            That failed; the message says where and why.
        """


@dataclass(frozen=True)
class SharedFolder:
    """All machines see the same folder, or there is one machine: a file that was written is everywhere."""

    def bring(self, path: Path, digest: str) -> None:
        """Do nothing: what does not lie there is nowhere, and who reads it says so."""

    def publish(self, path: Path, digest: str) -> None:
        """Do nothing: it is where all look for it."""

    @contextmanager
    def workspace(self, root: Path, given: Mapping[Path, str], check: Callable[[], None]) -> Iterator[Path]:
        """Yield the folder itself."""
        del given, check
        yield root

    @contextmanager
    def held(self, path: Path, digest: str, name: Path, check: Callable[[], None]) -> Iterator[Path]:
        """Yield the file itself."""
        del digest, name, check
        yield path

    def keep(self, paths: Sequence[Path]) -> None:
        """Do nothing: no file is removed from here."""

    def sweep(self, named: Callable[[list[str]], set[str]], now: datetime) -> int:
        """Do nothing: the folders are swept as folders."""
        del named, now
        return 0

    def probe(self) -> str:
        """Say that there is nothing to try."""
        return "the folder of AIHUB_HOME"


def backing_of(settings: Settings, kind: Kind) -> Backing:
    """Return what the settings put behind the artefacts, or behind the data sets. Talks to nobody.

    Raises
    ------
    ConfigError
        A bucket is named and the library that talks to buckets is not installed, or it refuses the settings.
    """
    if not settings.artifacts:
        return SharedFolder()
    try:
        from aihub.registry.bucket import connect  # noqa: PLC0415 - an extra, and dear: only where a bucket is named
    except ImportError:
        message = f"AIHUB_ARTIFACTS is {settings.artifacts!r}; install what talks to buckets: pip install 'aihub[s3]'"
        raise ConfigError(message, field="artifacts") from None
    return connect(settings, kind)
