"""The pinned requirements hold all that the project asks for: `pip` with hashes takes nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in requirements}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("run", []), ("dev", []), ("docs", []), ("bench", []), ("image", ["postgres", "otel"])],
)
def test_a_lock_holds_every_dependency(lock: str, extras: list[str]) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    pinned = names(re.findall(r"^[a-z0-9._-]+(?=\[|==)", text, re.MULTILINE | re.IGNORECASE))
    wanted = names(PROJECT["dependencies"])
    for extra in extras:
        wanted |= names(PROJECT["optional-dependencies"][extra])
    assert wanted - pinned == set(), "run `make lock`"
