"""What a validation found: findings in check results in one report.

A report is also the read-only mapping that the guide shows: ``report["passed"]``, ``report["failures"]``,
``report["checks"]["data_drift"]`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aihub.types import ModelType, Outcome, Severity, iso

if TYPE_CHECKING:
    from datetime import datetime

Value = float | int | str | bool | None

SCHEMA_VERSION = 1
"""Version of the JSON form; grows when a field changes its meaning or goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One comparison inside a check: a metric, a column, a slice.

    Attributes
    ----------
    subject
        What was looked at: a metric, a column, a slice such as ``"hour=18"``.
    outcome
        What this comparison found.
    observed, limit
        The figure and what it was held against; text where the limit is a range.
    message
        One sentence for a person, complete on its own.
    next_step
        What to do about it; empty where nothing is to be done.
    extra
        More figures for the report (effect, p-values, intervals); JSON-able.
    """

    subject: str
    outcome: Outcome
    observed: Value = None
    limit: Value = None
    message: str = ""
    next_step: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Everything one check found.

    Attributes
    ----------
    name
        The check's name: ``performance``, ``data_drift``, ...
    outcome
        Worst of the findings; `SKIPPED` where the check does not apply.
    severity
        What not passing does to the gate.
    reason
        One line: why this check exists, or why it was skipped.
    details
        The guide's mapping for this check (``metrics``, ``comparisons``, ``drift_detected``, ...), JSON-able.
    plots
        Series for the HTML report by plot name, JSON-able; never shown as text.
    """

    name: str
    outcome: Outcome
    severity: Severity
    reason: str
    findings: tuple[Finding, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    plots: Mapping[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0

    @property
    def lets_through(self) -> bool:
        """Whether the gate may stay open after this check: inconclusive never lets through at severity fail."""
        return self.severity is not Severity.FAIL or self.outcome in (Outcome.PASSED, Outcome.SKIPPED)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that did not pass."""
        return tuple(f for f in self.findings if f.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE))


_ORDER = (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED, Outcome.SKIPPED)


def worst(outcomes: Iterator[Outcome] | tuple[Outcome, ...] | list[Outcome]) -> Outcome:
    """Return the worst outcome: failed, then inconclusive, then passed; nothing looked at is `SKIPPED`.

    >>> worst([Outcome.PASSED, Outcome.INCONCLUSIVE])
    <Outcome.INCONCLUSIVE: 'inconclusive'>
    """
    found = set(outcomes)
    return next((outcome for outcome in _ORDER if outcome in found), Outcome.SKIPPED)


@dataclass(frozen=True, kw_only=True)
class ValidationReport(Mapping[str, Any]):
    """The result of validating one model on one table.

    Attributes
    ----------
    checks_run
        One result per check, in the order they ran.
    settings
        The thresholds and parameters in force, each with where it came from
        (``spec``, ``tenant``, ``call`` or ``default``).
    context
        What was compared with what: model, data fingerprint, champion, notes of repairs; JSON-able.
    """

    model_type: ModelType
    model_path: str
    validation_timestamp: datetime
    validation_data_size: int
    checks_run: tuple[CheckResult, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the gate is open: every check at severity fail passed or did not apply, and at least one passed."""
        ran = [c for c in self.checks_run if c.severity is Severity.FAIL and c.outcome is not Outcome.SKIPPED]
        return bool(ran) and all(c.lets_through for c in self.checks_run)

    @property
    def failures(self) -> list[str]:
        """One sentence per finding that stops the gate."""
        found = [
            f.message or f"{c.name}: {f.subject} {f.outcome}"
            for c in self.checks_run
            if not c.lets_through
            for f in (
                c.failures or (Finding(subject=c.name, outcome=c.outcome, message=f"{c.name}: {c.reason}"),)
            )
        ]
        return found if found or self.passed else ["no check could be run, so nothing was shown to be right"]

    @property
    def warnings(self) -> list[str]:
        """One sentence per finding that did not pass in a check at severity warn."""
        return [f.message for c in self.checks_run if c.severity is Severity.WARN for f in c.failures]

    def check(self, name: str) -> CheckResult:
        """Return the result of the check called `name`.

        Raises
        ------
        KeyError
            No such check was part of this validation.
        """
        for result in self.checks_run:
            if result.name == name:
                return result
        raise KeyError(name)

    @cached_property
    def _mapping(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "failures": self.failures,
            "checks": {
                c.name: {**c.details, "passed": c.outcome in (Outcome.PASSED, Outcome.SKIPPED)}
                for c in self.checks_run
                if c.outcome is not Outcome.SKIPPED
            },
            "model_type": str(self.model_type),
            "model_path": self.model_path,
            "validation_timestamp": iso(self.validation_timestamp),
            "validation_data_size": self.validation_data_size,
        }

    def __getitem__(self, key: str) -> Any:
        return self._mapping[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __repr__(self) -> str:
        # The generated one would dump every plotted point into logs and assertion messages.
        ran = [c for c in self.checks_run if c.outcome is not Outcome.SKIPPED]
        good = sum(1 for c in ran if c.outcome is Outcome.PASSED)
        verdict = "passed" if self.passed else "failed"
        rows = self.validation_data_size
        return f"<ValidationReport {verdict}: {good} of {len(ran)} checks passed on {rows} rows, {self.model_path!r}>"

    def __str__(self) -> str:
        from aihub.validation.report.text import render_text  # noqa: PLC0415 - reports import results

        return render_text(self)
