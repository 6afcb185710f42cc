from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

MODEL_TEST = """
import numpy as np

class Constant:
    feature_names = ("x",)

    def predict(self, data):
        return np.full(len(data["x"]), 3.0)

def test_model(validate_model):
    table = {"x": np.arange(40.0), "load": np.arange(40.0) * 50}
    report = validate_model(Constant(), table, "load")
    assert report.passed, report
"""


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(MODEL_TEST)
    return pytester


def test_a_failed_gate_prints_the_report(inner: pytest.Pytester) -> None:
    result = inner.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *<ValidationReport failed: *",
            "* validation report *",
            "MODEL VALIDATION REPORT",
            "Overall Status: ✗ FAILED",
            "PERFORMANCE METRICS",
            "*✗ mae: *",
        ]
    )


def test_the_reports_are_kept_for_the_run(inner: pytest.Pytester, tmp_path: Path) -> None:
    inner.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:randomly", "--aihub-report", str(tmp_path / "kept")
    )
    (folder,) = (tmp_path / "kept").iterdir()
    assert "test_model" in folder.name
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_run_that_validates_nothing_imports_no_numpy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_it():\n    assert 'numpy' not in sys.modules\n")
    pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:hypothesispytest"
    ).assert_outcomes(passed=1)
