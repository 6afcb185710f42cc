"""Words and figures that every form of a report shares: marks, numbers, margins, text that is safe to print."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity

if TYPE_CHECKING:
    from aihub.validation.results import CheckResult, Finding

MARKS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.INCONCLUSIVE: "?", Outcome.SKIPPED: "-"}
"""One character per outcome; never the only sign of it, the word stands beside."""

TITLES = {
    "performance": "PERFORMANCE METRICS",
    "baseline_comparison": "BASELINE COMPARISON",
    "data_drift": "DATA DRIFT",
    "prediction_stability": "PREDICTION STABILITY",
    "prediction_range": "PREDICTION RANGE",
}
"""Section titles of the guide's report; any other check is titled by its own name."""

GUIDE_METRICS = ("mae", "rmse", "mape", "r2_score", "precision", "recall", "f1_score", "auc_roc")
"""Metrics of the guide; they are shown even where no threshold holds them."""

LOST_DIGITS = 1e-4
"""Below this magnitude four decimals would show zero, so that the figure is written with an exponent."""

# C0 and C1 controls, bidirectional overrides, line and paragraph separators, lone surrogates and non-characters: they
# break XML, move the cursor of a terminal, or make a name read as another one.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_INTERVAL = re.compile(r"\((95 % interval [^()]{1,60})\)")
_SPACE = re.compile(r"[ \t\r\n\f\v]+")


def plain(value: object, limit: int = 2000) -> str:
    r"""Return `value` as one line that is safe in a terminal, in XML and in a file: no control, override or surrogate.

    White space becomes one blank, what is unsafe is written as its escape, and what is longer than `limit` is cut.

    >>> plain("a\x1b[31m\tb\u202e")
    'a\\x1b[31m b\\u202e'
    """
    text = _SPACE.sub(" ", str(value))
    text = _UNSAFE.sub(_escaped, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - where two digits end


def figure(value: object) -> str:
    """Return a number as the guide writes it, four decimals; anything else as plain text.

    >>> figure(38.5), figure(1200000.0), figure(2e-7), figure(None), figure(float("nan")), figure(True)
    ('38.5000', '1200000.0000', '2.0000e-07', 'n/a', 'nan', 'yes')
    """
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (hasattr(value, "__index__") and not isinstance(value, str)):
        return str(value)
    if isinstance(value, float) or hasattr(value, "__float__"):
        number = float(value)
        if number and (abs(number) < LOST_DIGITS or abs(number) >= 1e12):  # noqa: PLR2004 - too wide for a line
            return f"{number:.4e}"
        return f"{number:.4f}"
    return plain(value)


def brief(value: object) -> str:
    """Return a number as a person reads it: no digit that does not matter, thousands apart.

    >>> brief(38.5), brief(0.98123), brief(1234567.8), brief(4711.26), brief(96.4004), brief("a")
    ('38.5', '0.9812', '1,234,568', '4,711.3', '96.4', 'a')
    """
    if isinstance(value, bool) or not isinstance(value, float) or not math.isfinite(value):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else figure(value)
    size = abs(value)
    for least, decimals in ((1e12, None), (1e6, 0), (1e3, 1), (1.0, 3)):
        if size >= least:
            text = f"{value:.4e}" if decimals is None else f"{value:,.{decimals}f}"
            return text.rstrip("0").rstrip(".") if decimals else text
    return f"{value:.4g}"


def title(name: str) -> str:
    """Return the section title of the check called `name`."""
    return TITLES.get(name, plain(name).replace("_", " ").upper())


def moment(value: object) -> str:
    """Return a time stamp without the fraction of its seconds, as the guide prints it.

    >>> moment("2025-01-15T10:30:00.751643Z")
    '2025-01-15T10:30:00Z'
    """
    return re.sub(r"\.\d+(?=Z|[+-]|$)", "", plain(value))


def heading(name: str) -> str:
    """Return the title of a check as a sentence-case heading.

    >>> heading("data_drift")
    'Data drift'
    """
    words = plain(name).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def mark(outcome: Outcome, severity: Severity = Severity.FAIL) -> str:
    """Return the mark of a finding; one that does not stop the gate is marked ``!`` instead of ``✗``."""
    if outcome is Outcome.FAILED and severity is not Severity.FAIL:
        return "!" if severity is Severity.WARN else "i"
    return MARKS[outcome]


def sentence(finding: Finding) -> str:
    """Return the finding's message, or one made of its parts where it has none."""
    if finding.message:
        return plain(finding.message)
    parts = f"{plain(finding.subject, 200)}: {finding.outcome}"
    if finding.observed is None:
        return parts
    held = f" against {figure(finding.limit)}" if finding.limit is not None else ""
    return f"{parts} ({figure(finding.observed)}{held})"


def uncertainty(finding: Finding) -> list[str]:
    """Return how well the figure of a finding is known, as its sentence says it in brackets.

    >>> from aihub.validation.results import Finding
    >>> uncertainty(Finding(subject="bias", outcome=Outcome.PASSED, message="bias: +0.2 (95 % interval -0.1 to +0.5)"))
    ['95 % interval -0.1 to +0.5']
    """
    return _INTERVAL.findall(finding.message)


def margin(finding: Finding) -> float | None:
    """Return how far the observed figure is from its limit, as a share of the limit; positive is room to spare.

    None where either is no finite number, the limit is zero, or nothing was decided.

    >>> from aihub.validation.results import Finding
    >>> margin(Finding(subject="mae", outcome=Outcome.PASSED, observed=40.0, limit=50.0))
    0.2
    """
    observed, limit = _number(finding.observed), _number(finding.limit)
    if observed is None or not limit or finding.outcome not in (Outcome.PASSED, Outcome.FAILED):
        return None
    room = abs(observed - limit) / abs(limit)
    return room if finding.outcome is Outcome.PASSED else -room


def margin_text(room: float) -> str:
    """Return a margin in per cent; beyond a factor of ten its size says nothing more.

    >>> margin_text(0.2), margin_text(-0.004), margin_text(-19.3)
    ('+20%', '-0.4%', '-999%+')
    """
    small, most = 0.01, 9.99
    if abs(room) > most:
        return "+999%+" if room > 0 else "-999%+"
    return f"{room:+.1%}" if 0 < abs(room) < small else f"{room:+.0%}"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def unlimited(check: CheckResult) -> dict[str, float]:
    """Return the metrics of a check that no finding is about: measured, and held against nothing."""
    metrics = check.details.get("metrics")
    if not isinstance(metrics, Mapping):
        return {}
    judged = {finding.subject for finding in check.findings}
    return {str(k): v for k, v in metrics.items() if _number(v) is not None and k not in judged}


NOT_ENOUGH = "not enough data"


def words(state: str) -> str:
    """Return a state as people read it."""
    return NOT_ENOUGH if state == Outcome.INCONCLUSIVE else str(state)


def state_of(check: CheckResult, finding: Finding) -> str:
    """Return the state of one finding: where its check stops nothing, failing reads ``warning`` or ``noted``."""
    return (
        state(replace(check, outcome=finding.outcome))
        if finding.outcome is Outcome.FAILED
        else str(finding.outcome)
    )


def state(check: CheckResult) -> str:
    """Return the check's state in one word, as all forms print it.

    A check at severity warn or info that failed reads ``warning`` or ``noted``: it stops nothing.
    """
    if check.outcome is not Outcome.FAILED or check.severity is Severity.FAIL:
        return str(check.outcome)
    return "warning" if check.severity is Severity.WARN else "noted"
