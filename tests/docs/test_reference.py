"""The reference pages that are written from the code say what the code says today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aihub.settings import PREFIX, RESERVED, Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # In a process of its own: commands that other tests have called remember how.
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write_reference.py"), str(folder)], check=True, timeout=120
    )
    return folder


@pytest.mark.parametrize("name", ["cli.md", "spec.md", "checks.md"])
def test_page_is_what_the_code_would_write(name: str, written: Path) -> None:
    page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert page == (written / name).read_text(encoding="utf-8"), (
        f"docs/reference/{name} is out of date: run scripts/write_reference.py"
    )


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [
        str(page.relative_to(ROOT / "docs"))
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if str(page.relative_to(ROOT / "docs")) not in navigation
    ]
    assert not missing


def test_every_variable_is_on_the_page() -> None:
    rows = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    ours = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} | RESERVED - {"AIHUB_SHARED_DATA"}
    assert [name for name in sorted(ours) if f"| `{name}`" not in rows] == []


def test_the_description_of_the_api_is_what_the_code_would_write(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "write_api_reference.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=120)
    for name in ("docs/reference/api.md", "schemas/openapi.json"):
        fresh = (tmp_path / name).read_text(encoding="utf-8")
        assert (ROOT / name).read_text(encoding="utf-8") == fresh, (
            f"{name} is out of date: run scripts/write_api_reference.py"
        )
