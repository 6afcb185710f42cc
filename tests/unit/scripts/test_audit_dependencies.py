"""The offline audit finds what it is there for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "scripts" / "audit_dependencies.py"
SPEC = importlib.util.spec_from_file_location("audit_dependencies", FILE)
assert SPEC is not None
assert SPEC.loader is not None
audit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

ADVISORY = [{"package": "Py_Thing", "id": "CVE-1", "affected": "<2"}]
HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("lock", "fault"),
    [
        (f"py-thing==1.9 \\\n    {HASH}\n", "CVE-1"),
        (f"py-thing[extra]==1.9 ; python_version < '4' \\\n    {HASH}\n", "CVE-1"),
        ("other==1.0\n", "has no hash"),
        (f"other>=1.0 \\\n    {HASH}\n", "is not pinned"),
        ("git+https://example.org/x\n", "is not pinned"),
    ],
)
def test_a_faulty_lock_is_found(lock: str, fault: str) -> None:
    assert any(fault in found for found in audit.faults("x.lock", lock, ADVISORY))


def test_a_good_lock_and_a_waived_fault_are_let_through() -> None:
    lock = f"# comment\npy-thing==2.0 \\\n    {HASH} \\\n    {HASH}\n"
    assert audit.faults("x.lock", lock, ADVISORY) == []
    waived = [{**ADVISORY[0], "waived": "not reached"}]
    assert audit.faults("x.lock", f"py-thing==1.0 {HASH}\n", waived) == []


def test_the_locks_of_this_repository_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main() == 0, capsys.readouterr().out
