#!/usr/bin/env python
"""Check what no linter checks: file sizes, registry hosts, secrets, and pickles being written."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MAX_LINES = 500
# Spelled in two parts, so that this file does not find itself.
HOSTS = re.compile(
    "|".join(("pypi" + r"\.org", "files\\.python" + "hosted", "registry\\.npm" + "js", "index" + "-url"))
)
SECRETS = {
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "key of Google": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "key of Azure": r"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})",
    "token of GitLab": r"\bglpat-[A-Za-z0-9_-]{20}",
    "token of a package registry": r"\b(?:pypi-[A-Za-z0-9_-]{60,}|npm_[A-Za-z0-9]{36})",
    "key of a service": r"\b(?:sk-[A-Za-z0-9_-]{32,}|[rs]k_live_[0-9A-Za-z]{20,}|SG\.[\w-]{22}\.[\w-]{43})",
    "token of Slack": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "webhook of Slack": r"hooks\.slack\.com/(?:services|workflows)/T[A-Z0-9]{7,}/[A-Z0-9]{7,}/[A-Za-z0-9]{16,}",
    "key of a hub": r"\bhub_[0-9a-f]{16}_[A-Za-z0-9_-]{43}",
    "signed token (JWT)": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
}
KNOWN = [(kind, re.compile(pattern)) for kind, pattern in SECRETS.items()]
ASSIGNED = re.compile(
    r"(?i)(?:secret|token|passwd|password|pwd|api_?key|access_?key|private_?key|credentials?)\w*[\"']?\s*"
    r"(?::=|=>|[=:])\s*[\"']?([A-Za-z0-9+/_~.\-]{20,}={0,2})"
)
IN_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:([^\s/:@\"'{}$<>]{12,})@")
MIN_BITS, MIN_BITS_HEX = 3.7, 3.0
"""Bits a character above which a value is drawn by chance and not written by a person."""
PICKLE_WRITERS = re.compile(r"\b(pickle|cloudpickle|joblib|dill)\.dumps?\(")
ALLOWED_HOST_FILES = {"scripts/lock.py", "Makefile"}


def tracked() -> list[str]:
    """Return the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    return [name for name in listed.stdout.split("\0") if name]


def secrets_in(line: str) -> Iterator[str]:
    """Yield what kinds of secret a line seems to hold."""
    yield from (kind for kind, pattern in KNOWN if pattern.search(line))
    for pattern in (ASSIGNED, IN_ADDRESS):
        if any(is_random(found[1]) for found in pattern.finditer(line)):
            yield "value that looks random"


def is_random(text: str) -> bool:
    """Whether a text has letters and digits as only chance puts them together; names and paths do not."""
    if re.fullmatch(r"[0-9a-fA-F]{32,}", text):
        return bits(text) >= MIN_BITS_HEX
    kinds = sum(bool(re.search(kind, text)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return kinds == 3 and bits(text) >= MIN_BITS  # noqa: PLR2004 - all three


def bits(text: str) -> float:
    """Return the Shannon entropy of a text, in bits a character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def faults(name: str, text: str) -> list[str]:
    """Return one sentence per fault of one file."""
    found = []
    if name.endswith(".py") and len(text.splitlines()) > MAX_LINES:
        found.append(f"{name}: {len(text.splitlines())} lines; split it (at most {MAX_LINES})")
    for number, line in enumerate(text.splitlines(), 1):
        if name not in ALLOWED_HOST_FILES and HOSTS.search(line):
            found.append(f"{name}:{number}: names a package registry's host")
        # What it is stands there, never the secret itself: the log of a check is read by many.
        found += [
            f"{name}:{number}: looks like a secret ({kind}); take it out, and make a new one"
            for kind in secrets_in(line)
        ]
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
