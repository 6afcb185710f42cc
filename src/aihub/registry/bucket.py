"""A bucket behind the files of a fleet, with copies on every machine.

Every copy is checked against its digest when it is made and whenever it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aihub.errors import ArtifactError, StoreAwayError, UnavailableError
from aihub.registry import copies, objects
from aihub.registry.ownership import Owner
from aihub.registry.trash import Trash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from aihub.registry.backing import Kind
    from aihub.registry.objects import Objects
    from aihub.settings import Settings

TRIES = 3
"""How often an object is asked for whose content has another digest: a broken proxy is not a broken object."""
ARTIFACT_GRACE_S = 7200.0
"""How long a copy that was used stays; several times longer than the pause after which what serves counts as used again."""
DATASET_GRACE_S = 600.0
"""A run holds its data under a name of its own."""
PATIENCE_S = 600.0
"""How long what was made in a workspace waits for a bucket that is away: hours of training may lie in it."""
PAUSE_S = 2.0


@dataclass(frozen=True)
class Bucket:
    """Objects under ``<prefix>/<kind>/<two digits>/<name>``, the name beginning with the digest.

    Attributes
    ----------
    limit_bytes, grace_s
        Room of this machine's copies, and how long a used one is safe from being removed.
    """

    objects: Objects
    owner: Owner
    limit_bytes: int
    grace_s: float
    trash: Trash = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trash", Trash(self.objects))

    def bring(self, path: Path, digest: str, check: Callable[[], None] = lambda: None) -> None:
        """Let a whole copy lie at `path`. Asks the bucket only where there is none; `check` may end the fetch.

        Raises
        ------
        ArtifactError
            The bucket has no such object, or one with other content.
        UnavailableError
            The bucket does not answer, or the disk is full.
        """
        with _disk(path):
            if copies.use(path, digest):
                return
            for _ in range(TRIES):
                if self._fetch(path, digest, check):
                    self._trim(path)
                    return
        message = f"{self.objects.address}/{_key(path)} has other content than its name says; restore the object from a copy"
        raise ArtifactError(message)

    def _fetch(self, path: Path, digest: str, check: Callable[[], None]) -> bool:
        """Copy the object; False where its content has another digest."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
        found = hashlib.sha256()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in self._pieces(_key(path)):
                    check()
                    found.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(descriptor)
            if found.hexdigest() != digest:
                return False
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _pieces(self, key: str) -> Iterator[Any]:
        try:
            yield from self.objects.pieces(key)
        except FileNotFoundError:
            self.objects.look()
            if not self.trash.restore(key):
                message = (
                    f"{self.objects.address} has no object {key}; restore it from a copy, or make it again"
                )
                raise ArtifactError(message) from None
            yield from self.objects.pieces(key)

    def publish(self, path: Path, digest: str) -> None:
        """Store the file; the object is there whole or not at all. Writes it also where it is there: that mends it.

        Raises
        ------
        ArtifactError
            The file has another digest.
        ConfigError
            The bucket is another hub's.
        UnavailableError
            The bucket does not answer.
        """
        self.owner.claim(self.objects)
        with _disk(path), path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                message = f"{path.name[:12]} was changed or damaged on disk before it was stored; repeat what made it"
                raise ArtifactError(message)
            file.seek(0)
            self.objects.write(_key(path), file)
            self._trim(path)

    @contextmanager
    def workspace(self, root: Path, given: Mapping[Path, str], check: Callable[[], None]) -> Iterator[Path]:
        """Yield a folder with links to the `given` files; nothing that empties the copies reaches them there.

        Raises
        ------
        ConfigError
            The bucket is another hub's.
        UnavailableError
            The bucket does not answer, or the disk is full.
        """
        # What cannot be kept afterwards need not be begun.
        self.owner.claim(self.objects)
        self.objects.look()
        with ExitStack() as stack:
            with _disk(root):
                folder = stack.enter_context(copies.workspace(root))
                for path, digest in given.items():
                    # What cannot be had is not there; whoever looks for it says what that means.
                    with suppress(ArtifactError):
                        self.bring(path, digest, check)
                        copies.link(path, folder / path.relative_to(root))
            yield folder
            for made in sorted(folder.glob("??/[!.]*")):
                target = root / made.relative_to(folder)
                if target not in given:
                    with _disk(target):
                        target.parent.mkdir(parents=True, exist_ok=True)
                        made.replace(target)
                    self._publish_patiently(target, check)

    def _publish_patiently(self, path: Path, check: Callable[[], None]) -> None:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.publish(path, path.name.partition(".")[0])
            except StoreAwayError:
                if time.monotonic() > until:
                    raise
                check()
                time.sleep(PAUSE_S)
            else:
                return

    @contextmanager
    def held(self, path: Path, digest: str, name: Path, check: Callable[[], None]) -> Iterator[Path]:
        """Yield `name`, a link to the copy at `path`: removing copies does not reach it."""
        self.bring(path, digest, check)
        try:
            with _disk(name):
                copies.link(path, name)
            yield name
        finally:
            name.unlink(missing_ok=True)

    def keep(self, paths: Sequence[Path]) -> None:
        """Let the copies count as used now."""
        for path in paths:
            copies.touch(path)

    def sweep(self, named: Callable[[list[str]], set[str]], now: datetime) -> int:
        """Put aside what no row names, and delete what was put aside long ago.

        Raises
        ------
        ConfigError
            The bucket is another hub's.
        UnavailableError
            The bucket does not answer.
        """
        self.owner.claim(self.objects)
        # Asked each time: what this process once claimed may have been given to another hub since.
        self.owner.check(self.objects)
        return self.trash.sweep(named, now)

    def probe(self) -> str:
        """Write, read and remove an object, and look whose bucket it is.

        Raises
        ------
        ConfigError
            It is another hub's.
        UnavailableError
            The bucket does not answer, or gives back something else.
        """
        self.owner.check(self.objects)
        key = f".probe/{secrets.token_hex(8)}"
        self.objects.write(key, key.encode())
        found = self.objects.read(key)
        self.objects.delete(key)
        if found != key.encode():
            message = (
                f"{self.objects.address} does not give back what was written; look what stands before it"
            )
            raise StoreAwayError(message)
        return self.objects.address

    def _trim(self, path: Path) -> None:
        copies.trim(
            copies.root_of(path), limit_bytes=self.limit_bytes, grace_s=self.grace_s, now_s=time.time()
        )


def _key(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the copies of this machine cannot be kept ({error.strerror}: {path}); free space or correct AIHUB_HOME"
        raise UnavailableError(message) from error


def connect(settings: Settings, kind: Kind) -> Bucket:
    """Return the bucket of the settings. Talks to nobody yet.

    Raises
    ------
    ConfigError
        The settings cannot be used.
    """
    grace_s = {"artifacts": ARTIFACT_GRACE_S, "datasets": DATASET_GRACE_S}[kind]
    found = objects.connect(settings, kind)
    return Bucket(found, Owner(settings), settings.cache_mb << 20, grace_s)
