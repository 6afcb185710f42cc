#!/usr/bin/env python
"""Check what no linter checks: file sizes, registry hosts, secrets, and pickles being written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_LINES = 500
# Spelled in two parts, so that this file does not find itself.
HOSTS = re.compile(
    "|".join(("pypi" + r"\.org", "files\\.python" + "hosted", "registry\\.npm" + "js", "index" + "-url"))
)
SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[baprs]-[A-Za-z0-9-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
PICKLE_WRITERS = re.compile(r"\b(pickle|cloudpickle|joblib|dill)\.dumps?\(")
ALLOWED_HOST_FILES = {"scripts/lock.py", "Makefile"}


def tracked() -> list[str]:
    """Return the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    return [name for name in listed.stdout.split("\0") if name]


def faults(name: str, text: str) -> list[str]:
    """Return one sentence per fault of one file."""
    found = []
    if name.endswith(".py") and len(text.splitlines()) > MAX_LINES:
        found.append(f"{name}: {len(text.splitlines())} lines; split it (at most {MAX_LINES})")
    for number, line in enumerate(text.splitlines(), 1):
        if name not in ALLOWED_HOST_FILES and HOSTS.search(line):
            found.append(f"{name}:{number}: names a package registry's host")
        if SECRETS.search(line) and "tests/" not in name:
            found.append(f"{name}:{number}: looks like a secret")
        if name.startswith("src/") and PICKLE_WRITERS.search(line):
            found.append(f"{name}:{number}: writes a pickle; artefacts are native formats only")
    return found


def main() -> int:
    """Print every fault; exit 1 where there is one."""
    found = []
    for name in tracked():
        path = ROOT / name
        if path.suffix in {".png", ".ico", ".woff2"} or not path.is_file():
            continue
        found += faults(name, path.read_text(encoding="utf-8"))
    print("\n".join(found) or "repository: nothing to object to")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
