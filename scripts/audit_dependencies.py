#!/usr/bin/env python
"""Check the locks without a network: everything pinned, every file hashed, nothing of a version with a known fault."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(\s|$)")


def entries(text: str) -> list[str]:
    """Return the requirements of a lock, continued lines joined."""
    joined = text.replace("\\\n", " ")
    return [
        line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def faults(label: str, text: str, advisories: list[dict[str, Any]]) -> list[str]:
    """Return one sentence per fault of a lock."""
    found = []
    for entry in entries(text):
        match = PINNED.match(entry)
        if not match:
            found.append(f"{label}: {entry[:60]!r} is not pinned with ==")
            continue
        if not HASH.search(entry):
            found.append(f"{label}: {match['name']} has no hash")
        name, version = canonicalize_name(match["name"]), Version(match["version"])
        found += [
            f"{label}: {name} {version} has {one['id']} ({one['affected']}); raise it, then: make lock"
            for one in advisories
            if canonicalize_name(one["package"]) == name
            and SpecifierSet(one["affected"]).contains(version, prereleases=True)
            and not one.get("waived")
        ]
    return found


def main() -> int:
    """Print every fault; exit 1 where there is one."""
    known = tomllib.loads((ROOT / "requirements" / "advisories.toml").read_text())
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    # The benchmarks' peers pin old libraries and never run beside a hub.
    watched = [lock for lock in locks if lock.name != "bench.lock"]
    found = [fault for lock in watched for fault in faults(lock.name, lock.read_text(), known["advisory"])]
    count = len(known["advisory"])
    print(
        "\n".join(found)
        or f"dependencies: pinned, hashed, none of {count} known faults ({known['reviewed']})"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
