"""Run the checks of a gate over a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aihub.validation.checks.base import Subject
    from aihub.validation.results import CheckResult
    from aihub.validation.settings import GateSettings


def run_checks(subject: Subject, settings: GateSettings) -> tuple[CheckResult, ...]:
    """Run every check in `settings` over `subject`, in order.

    A check that raises is a failed check with the error as its reason, never a pass.
    """
    raise NotImplementedError
