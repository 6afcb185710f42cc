"""Gate a model in a test suite: ``report = validate_model(...)`` and ``assert report.passed, report``.

When such a test fails, its text report stands below the traceback, whole: pytest itself cuts long messages. With
``--aihub-report DIR`` every report is also written there, one folder per test, for the CI run to keep.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aihub.validation.results import ValidationReport


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--aihub-report``."""
    group = parser.getgroup("aihub")
    group.addoption(
        "--aihub-report", metavar="DIR", help="write the validation reports of `validate_model` to DIR"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the text of every validation report that the failed line could see."""
    outcome = yield
    results = sys.modules.get("aihub.validation.results")  # not imported: then there is no report to show
    if results is not None and call.excinfo is not None and outcome.failed:
        seen = call.excinfo.traceback[-1].frame.f_locals.values()
        reports = {id(value): value for value in seen if isinstance(value, results.ValidationReport)}
        outcome.sections += [("validation report", str(report)) for report in reports.values()]
    return outcome


@pytest.fixture
def validate_model(request: pytest.FixtureRequest) -> Callable[..., ValidationReport]:
    """Validate a model file: the arguments of `ModelValidator.validate_model`, and `model_type`, `thresholds`."""

    def validate(
        model_path: str | Path,
        validation_data: Any,
        target_column: str,
        *,
        model_type: str = "forecast",
        thresholds: dict[str, dict[str, float]] | None = None,
        **options: Any,
    ) -> ValidationReport:
        from aihub.validation.validator import ModelValidator  # noqa: PLC0415 - a test run that validates nothing pays nothing

        validator = ModelValidator(model_type, thresholds)
        report = validator.validate_model(model_path, validation_data, target_column, **options)
        folder = request.config.getoption("--aihub-report")
        if folder:
            from aihub.validation.report import write_reports  # noqa: PLC0415

            write_reports(report, Path(folder) / re.sub(r"[^\w.-]+", "_", request.node.nodeid))
        return report

    return validate
