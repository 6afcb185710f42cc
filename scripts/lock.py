#!/usr/bin/env python
"""Pin every dependency with hashes into requirements/*.lock, for all platforms and without naming an index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"),
    *(
        "--no-emit-index-url",
        # pip looks for the hash of `name[extra]` where a dependency asks for it: the pin has to carry the extra.
        "--no-strip-extras",
        "--no-annotate",
        "--custom-compile-command=make lock",
    ),
]
PROJECT = ["pyproject.toml", "--group=build"]
LOCKS = {
    "run": PROJECT,
    "dev": [*PROJECT, "--group=dev", "--constraint=requirements/run.lock"],
    # The container: with PostgreSQL, traces and S3.
    "image": [
        *PROJECT,
        "--extra=postgres",
        "--extra=otel",
        "--extra=s3",
        "--constraint=requirements/dev.lock",
    ],
    "docs": [*PROJECT, "--group=dev", "--group=docs", "--constraint=requirements/dev.lock"],
    # What signs and publishes a release stands apart: it runs with the right to publish.
    "release": ["--group=release"],
    # Peers need older versions of some libraries than we do.
    "bench": [*PROJECT, "--group=bench"],
}


def main() -> int:
    """Write the locks named on the command line, or all of them."""
    for name in sys.argv[1:] or LOCKS:
        print(f"requirements/{name}.lock")
        subprocess.run([*BASE, *LOCKS[name], f"--output-file=requirements/{name}.lock"], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
