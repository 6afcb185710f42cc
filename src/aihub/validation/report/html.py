"""The report as one HTML file that needs nothing else: no script, no request, inline style and SVG.

Its content-security policy forbids everything but its own style sheet, by digest, so that a name in the data can at
worst look odd.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from aihub import __version__
from aihub.types import Outcome, Severity
from aihub.validation.report.details import check_card, context_section, settings_section
from aihub.validation.report.figures import badge, figures_of, gauge
from aihub.validation.report.mapping import checks_of
from aihub.validation.report.markup import Markup, element, join
from aihub.validation.report.style import STYLE
from aihub.validation.report.wording import (
    brief,
    heading,
    margin,
    margin_text,
    moment,
    plain,
    sentence,
    state,
    state_of,
    unlimited,
)
from aihub.validation.results import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aihub.validation.results import CheckResult, Finding

MAX_BYTES = 1_000_000
"""A report stays below this; a wide table loses figures and rows, which report.json still has."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a long report is shown: findings listed per check, figures drawn per check, sentences to act on."""

    rows: int
    figures: int
    advice: int


_LIMITS = (Limits(200, 120, 60), Limits(60, 40, 30), Limits(20, 10, 15), Limits(5, 0, 5))


def render_html(report: Mapping[str, Any]) -> str:
    """Return the report as a complete HTML document of at most `MAX_BYTES`.

    Parameters
    ----------
    report
        A `ValidationReport`, or the plain results mapping of the guide.
    """
    page = ""
    for limits in _LIMITS:
        page = _page(report, limits)
        if len(page.encode(errors="replace")) <= MAX_BYTES:
            break
    return page


def _page(report: Mapping[str, Any], limits: Limits) -> str:
    checks = checks_of(report)
    name = _model_name(report)
    word = "passed" if report.get("passed") else "failed"
    sections = [
        section
        for section in (
            _advice(report, checks, limits),
            _metrics(checks, limits),
            _checks(checks, limits),
            settings_section(getattr(report, "settings", {})),
            context_section(report),
        )
        if section is not None
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", f"Gate {word}: {name}"),
        element("style", Markup(STYLE)),
    )
    body = element(
        "body",
        element("a", "Skip to the checks", href="#checks", class_="skip"),
        element(
            "div",
            element("header", _verdict(report, checks, name)),
            element(
                "nav",
                element("ul", [_link(anchor, label) for anchor, label, _ in sections]),
                aria_label="Sections",
            ),
            element("main", [_section(*section) for section in sections]),
            element(
                "footer",
                f"AI Hub {__version__}, report schema {SCHEMA_VERSION}. This file is complete in itself.",
            ),
            class_="page",
        ),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _link(anchor: str, label: str) -> Markup:
    return element("li", element("a", label, href=f"#{anchor}"))


def _section(anchor: str, label: str, content: Markup) -> Markup:
    return element(
        "section", element("h2", label, id=f"{anchor}-h"), content, id=anchor, aria_labelledby=f"{anchor}-h"
    )


def _model_name(report: Mapping[str, Any]) -> str:
    model = getattr(report, "context", {}).get("model")
    named = model.get("name") if isinstance(model, Mapping) else None
    return plain(named or PurePath(str(report.get("model_path", ""))).name or "model", 120)


def _verdict(report: Mapping[str, Any], checks: Sequence[CheckResult], name: str) -> Markup:
    passed = bool(report.get("passed"))
    size = report.get("validation_data_size", "unknown")
    ran = [check for check in checks if check.outcome is not Outcome.SKIPPED]
    facts = {
        "Model type": plain(report.get("model_type", "unknown")),
        "Validated on": f"{size:,} rows" if isinstance(size, int) else plain(size),
        "Checks passed": f"{sum(1 for c in ran if c.outcome is Outcome.PASSED)} of {len(ran)}",
        "When": moment(report.get("validation_timestamp", "unknown")).replace("T", " ").replace("Z", " UTC"),
        "Model file": plain(PurePath(str(report.get("model_path", ""))).name, 120),
    }
    ring = element("circle", cx=13, cy=13, r=12, fill="none", stroke="currentColor", stroke_width="2.4")
    stroke = "M7.5 13.5l4 4 7-8.5" if passed else "M8.5 8.5l9 9M17.5 8.5l-9 9"
    tick = element(
        "path", d=stroke, fill="none", stroke="currentColor", stroke_width="2.6", stroke_linecap="round"
    )
    return element(
        "div",
        element(
            "p",
            element("svg", ring, tick, class_="sign", view_box="0 0 26 26", aria_hidden="true"),
            "Gate passed" if passed else "Gate failed",
            class_="word",
        ),
        element("h1", element("bdi", name)),
        element("p", _lead(report, checks), class_="lead"),
        element(
            "dl",
            [element("div", element("dt", k), element("dd", v)) for k, v in facts.items() if v],
            class_="facts",
        ),
        class_="verdict" if passed else "verdict bad",
    )


def _lead(report: Mapping[str, Any], checks: Sequence[CheckResult]) -> str:
    stopping = [check for check in checks if not check.lets_through]
    warned = [heading(c.name).lower() for c in checks if state(c) == "warning"]
    tail = (
        f" {len(warned)} more {'warns' if len(warned) == 1 else 'warn'}: {', '.join(warned[:5])}."
        if warned
        else ""
    )
    if report.get("passed"):
        return f"Every check that can stop the model passed.{tail.replace(' more', '')}"
    if not stopping:
        return "No check could show that the model is right, so it does not pass."
    names = ", ".join(heading(check.name).lower() for check in stopping[:6])
    verb = "check stops" if len(stopping) == 1 else "checks stop"
    return f"{len(stopping)} {verb} the model: {names}.{tail}"


def _advice(
    report: Mapping[str, Any], checks: Sequence[CheckResult], limits: Limits
) -> tuple[str, str, Markup] | None:
    stopping = [(c, f) for c in checks if not c.lets_through for f in c.failures]
    warning = [(c, f) for c in checks if c.severity is Severity.WARN for f in c.failures]
    parts: list[Markup] = []
    if stopping:
        parts.append(_todo(stopping, limits.advice, "todo"))
    elif not report.get("passed"):
        told = [
            element("li", element("p", plain(text), class_="said")) for text in report.get("failures", ())
        ]
        parts.append(element("ul", told[: limits.advice], class_="todo"))
    if warning:
        parts += [element("h3", "Warnings", class_="block")] if parts else []
        parts.append(_todo(warning, limits.advice, "todo warn"))
    title = "What to do next" if not report.get("passed") else "Worth a look"
    return ("next", title, join(parts)) if parts else None


def _todo(found: Sequence[tuple[CheckResult, Finding]], limit: int, class_: str) -> Markup:
    items = []
    for check, finding in found[:limit]:
        step = (
            element("p", element("b", "Next: "), plain(finding.next_step), class_="next")
            if finding.next_step
            else None
        )
        items.append(
            element(
                "li",
                element(
                    "p",
                    badge(state_of(check, finding), stops=not check.lets_through),
                    element("a", heading(check.name), href=f"#{anchor_of(check)}"),
                    class_="where",
                ),
                element("p", sentence(finding), class_="said"),
                step,
            )
        )
    if len(found) > limit:
        items.append(element("li", f"… and {len(found) - limit} more; report.json has all of them."))
    return element("ul", items, class_=class_)


def anchor_of(check: CheckResult) -> str:
    """Return the check's anchor; made of letters that need no escaping, whatever the name."""
    return "check-" + "".join(char if char.isascii() and char.isalnum() else "-" for char in check.name)


def _metrics(checks: Sequence[CheckResult], limits: Limits) -> tuple[str, str, Markup] | None:
    performance = next((c for c in checks if c.name == "performance" and (c.findings or unlimited(c))), None)
    if performance is None:
        return None
    baseline: Any = next(
        (c.details.get("comparisons", {}) for c in checks if c.name == "baseline_comparison"), {}
    )
    tiles = [
        element("div", *_tile(performance, finding, baseline), class_="tile")
        for finding in performance.findings[:24]
    ]
    for name, value in list(unlimited(performance).items())[:24]:
        tiles.append(
            element(
                "div",
                element("dt", element("bdi", plain(name, 80))),
                element("dd", brief(value), class_="big"),
                element("dd", "no limit", class_="under"),
                class_="tile",
            )
        )
    drawn = figures_of(performance, "p", limits.figures)
    return "metrics", "Performance", join([element("dl", tiles, class_="tiles"), drawn])


def _tile(check: CheckResult, finding: Finding, baseline: Any) -> Iterator[Markup]:
    yield element(
        "dt",
        element("bdi", plain(finding.subject, 80)),
        " ",
        badge(state_of(check, finding)),
    )
    metrics = check.details.get("metrics")
    whole = (
        metrics.get(finding.subject, finding.observed) if isinstance(metrics, Mapping) else finding.observed
    )
    is_part = "_vs_" in str(finding.extra.get("kind", "")) and whole != finding.observed
    yield element("dd", brief(whole if is_part else finding.observed), class_="big")
    room = margin(finding)
    if finding.limit is not None:
        shown = [gauge(room), f" {margin_text(room)}"] if room is not None else []
        yield element("dd", f"limit {brief(finding.limit)}", class_="under")
        if is_part:
            # A forecast that repeats the day before has no answer for the first one.
            yield element("dd", f"{brief(finding.observed)} where both answer", class_="under")
        yield element("dd", "margin", shown, class_="under") if shown else Markup("")
    before = baseline.get(finding.subject) if isinstance(baseline, Mapping) else None
    if isinstance(before, Mapping) and isinstance(change := before.get("degradation_pct"), int | float):
        yield element("dd", f"baseline {brief(before.get('baseline'))} ({change:+.2f}%)", class_="under")


def _card(check: CheckResult, index: int, limits: Limits) -> Markup:
    figures = (
        0 if check.name == "performance" and (check.findings or unlimited(check)) else limits.figures
    )  # those stand at the top
    return check_card(check, anchor_of(check), f"f{index}", rows=limits.rows, figures=figures)


def _checks(checks: Sequence[CheckResult], limits: Limits) -> tuple[str, str, Markup] | None:
    if not checks:
        return None
    order = ("failed", "inconclusive", "warning")
    ranked = sorted(checks, key=lambda c: order.index(state(c)) if state(c) in order else len(order))
    ran = [c for c in ranked if c.outcome is not Outcome.SKIPPED]
    skipped = [c for c in ranked if c.outcome is Outcome.SKIPPED]
    cards = [_card(c, i, limits) for i, c in enumerate(ran)]
    if skipped:
        names = [element("li", element("b", heading(c.name)), f": {plain(c.reason)}") for c in skipped]
        cards += [element("h4", "Not checked"), element("ul", names, class_="notes card-less")]
    return "checks", "Checks", join(cards)
