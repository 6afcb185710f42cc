"""Files on their way to and from a hub: their digest is known before they leave and checked when they arrive."""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from aihub.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedReader
    from pathlib import Path


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def opened(path: Path) -> BufferedReader:
    """Open a file to be read.

    Raises
    ------
    InputError
        It cannot be.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file")
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path and its rights") from None


def receive(chunks: Iterable[bytes], target: Path, digest: str) -> None:
    """Write what arrives to `target`, which appears whole and checked or not at all.

    Raises
    ------
    ArtifactError
        What arrived is not what `digest` names.
    InputError
        The file cannot be written.
    """
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    seen = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            for chunk in chunks:
                seen.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if seen.hexdigest() != digest:
            raise ArtifactError(
                f"what arrived has the digest {seen.hexdigest()[:12]} and not {digest[:12]}: it was changed on the way; "
                "download it again, and run aihub doctor on the hub if that does not help"
            )
        fresh.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}); name another path") from None
    finally:
        fresh.unlink(missing_ok=True)
