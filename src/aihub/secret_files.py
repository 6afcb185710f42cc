"""Secrets that are kept in files: read, or made where they are missing. No message repeats a secret."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECRET_BYTES = 32


def read(file: Path, *, field: str) -> str:
    """Return the content of a secret's file without the white space around it.

    Raises
    ------
    ConfigError
        The file cannot be read or is no text; `field` is the setting that names it.
    """
    try:
        return file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        message = f"{field}: the file {str(file)!r} cannot be read ({reason}); correct its path or rights"
        raise ConfigError(message, field=field) from None


def read_or_make(file: Path, *, field: str) -> str:
    """Return the content of a secret's file; a missing one is made with 64 random digits, readable by its owner only.

    Raises
    ------
    ConfigError
        The file cannot be read or made; `field` is the setting that names it.
    """
    # Written whole under another name first: a process that starts beside us must not read half a secret.
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not file.exists():
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                    opened.write(secrets.token_hex(SECRET_BYTES))
                    # What is written with it from now on is worth nothing without it.
                    opened.flush()
                    os.fsync(opened.fileno())
                os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        message = f"the key file {file} cannot be made ({error.strerror}); check its folder and rights"
        raise ConfigError(message, field=field) from None
    return read(file, field=field)
