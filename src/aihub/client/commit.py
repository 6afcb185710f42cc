"""The commit that is being worked on here: a version is found by it later."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMIT = re.compile(r"[0-9a-f]{40}")


def current(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the commit of the workflow run (`GITHUB_SHA`), else of the folder's git work tree; None outside of both."""
    given = (os.environ if environ is None else environ).get("GITHUB_SHA", "").strip().lower()
    if COMMIT.fullmatch(given):
        return given
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - the git of whoever runs this
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = done.stdout.strip()
    return found if COMMIT.fullmatch(found) else None
