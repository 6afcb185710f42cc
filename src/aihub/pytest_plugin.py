"""Gate a model in a test suite: ``report = validate_model(...)`` and ``assert report.passed, report``.

pytest prints the text report when the assertion fails, because that is what a report's representation is. With
``--aihub-report DIR`` every report is also written there, one folder per test, for the CI run to keep.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.validation.results import ValidationReport


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--aihub-report``."""
    group = parser.getgroup("aihub")
    group.addoption(
        "--aihub-report", metavar="DIR", help="write the validation reports of `validate_model` to DIR"
    )


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
