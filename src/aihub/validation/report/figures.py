"""The figures and gauges of the HTML report: a drawing, its caption, its legend and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.report.markup import Markup, element
from aihub.validation.report.svg import draw, legend
from aihub.validation.report.wording import brief, heading, plain, state_of, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aihub.validation.results import CheckResult, Finding

CAPTIONS = {
    "predictions": "Predictions against what happened",
    "predictions_recent": "The last two weeks",
    "residuals": "Residuals over time",
    "residuals_by_hour": "Residuals by hour of day",
    "ratio": "Error of the challenger relative to the champion",
    "slices": "Error by slice",
}
_SMALL = frozenset({"histogram", "categories", "scatter"})
_GAUGE = 74


def figures_of(check: CheckResult, prefix: str, limit: int) -> list[Markup]:
    """Return the figures of a check: wide ones first, then a grid of small ones, drifted features in front.

    Parameters
    ----------
    prefix
        Unique within the page.
    limit
        Most figures to draw.
    """
    by_subject = {finding.subject: finding for finding in check.findings}
    ordered = sorted(check.plots.items(), key=lambda item: _urgency(by_subject.get(item[0])))
    wide: list[Markup] = []
    small: list[Markup] = []
    for i, (name, plot) in enumerate(ordered[:limit]):
        if not isinstance(plot, Mapping):
            continue
        is_small = plot.get("kind") in _SMALL
        drawn = _figure(check, str(name), plot, f"{prefix}-{i}", 150 if is_small else 230)
        if drawn is not None:
            (small if is_small else wide).append(drawn)
    return [*_grid(wide, "figures"), *_grid(small, "figures small"), *_left_out(len(ordered) - limit)]


def _grid(figures: list[Markup], class_: str) -> Iterator[Markup]:
    if figures:
        yield element("div", figures, class_=class_)


def _left_out(count: int) -> Iterator[Markup]:
    if count > 0:
        yield element(
            "p", f"{count} more figures are left out; their data is in report.json.", class_="reason"
        )


def _urgency(finding: Finding | None) -> int:
    order = (Outcome.FAILED, Outcome.INCONCLUSIVE)
    return order.index(finding.outcome) if finding is not None and finding.outcome in order else len(order)


def _figure(check: CheckResult, name: str, plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    finding = next((f for f in check.findings if f.subject == name), None)
    caption = plain(plot.get("title") or CAPTIONS.get(name) or (name if finding else heading(name)), 200)
    drawing = draw({**plot, "title": caption}, ident, height=height)
    if drawing is None:
        return None
    keys = [element("span", _swatch(role), label, class_="key") for role, label in legend(plot)]
    units = ", ".join(
        word for word in (plain(plot.get("unit") or plot.get("y_label") or "", 60), _zone(plot)) if word
    )
    return element(
        "figure",
        element(
            "figcaption",
            element("bdi", caption),
            _finding_badge(check, finding),
            element("span", units, class_="count") if units else None,
            element("span", keys, class_="keys") if keys else None,
        ),
        drawing,
        _under(plot, finding),
    )


def _finding_badge(check: CheckResult, finding: Finding | None) -> Markup | None:
    if finding is None or finding.outcome is Outcome.PASSED:
        return None
    return badge(state_of(check, finding), stops=check.severity is Severity.FAIL)


def _zone(plot: Mapping[str, Any]) -> str:
    first = next(iter(plot.get("x") or ()), None) if plot.get("kind") == "series" else None
    return "times in UTC" if isinstance(first, str) and first.endswith("Z") else ""


def _under(plot: Mapping[str, Any], finding: Finding | None) -> Markup | None:
    words = plain(plot.get("note") or (finding.message if finding is not None else ""), 400)
    return element("p", words, class_="under") if words else None


def _swatch(role: str) -> Markup:
    shape = (
        element("path", d="M0 5H20", class_=role)
        if role.startswith("line")
        else element("rect", x=1, y=1, width=18, height=8, class_=role)
    )
    return element("svg", shape, view_box="0 0 20 10", aria_hidden="true")


_PATHS = {
    "passed": "M3 7l3 3 5-6",
    "failed": "M3.5 3.5l7 7M10.5 3.5l-7 7",
    "warning": "M7 2.5v6M7 11v.5",
    "inconclusive": "M4.8 5a2.2 2.2 0 1 1 3 2c-.6.3-.8.7-.8 1.3M7 11v.3",
    "skipped": "M3 7h8",
    "noted": "M7 6v5M7 3v.4",
}


def badge(state: str, *, stops: bool = True) -> Markup:
    """Return a state as sign and word; its colour, milder where nothing is stopped, only repeats them."""
    path = element(
        "path", d=_PATHS[state], fill="none", stroke="currentColor", stroke_width="2", stroke_linecap="round"
    )
    sign = element("svg", path, width=13, height=13, view_box="0 0 14 14", aria_hidden="true")
    return element(
        "span",
        sign,
        words(state),
        class_=f"badge {state if stops or state != Outcome.INCONCLUSIVE else 'warning'}",
    )


def gauge(margin: float) -> Markup:
    """Return a small bar: to the right of the middle is room to spare, to the left what is missing."""
    half = _GAUGE / 2
    width = max(min(abs(margin), 1.0) * half, 1.5)
    return element(
        "svg",
        element("rect", x=0, y=3, width=_GAUGE, height=3, class_="base"),
        element(
            "rect",
            x=half if margin >= 0 else half - width,
            y=1,
            width=width,
            height=7,
            class_="good" if margin >= 0 else "poor",
        ),
        element("line", x1=half, x2=half, y1=0, y2=9, class_="mid"),
        class_="gauge",
        view_box=f"0 0 {_GAUGE} 9",
        aria_hidden="true",
    )


def table(
    caption: str,
    heads: Sequence[tuple[str, bool]],
    rows: Sequence[Sequence[Any]],
    *,
    last_is_text: bool = False,
) -> Markup:
    """Return a table whose rows become cards on a narrow screen.

    Parameters
    ----------
    heads
        Heading and whether the column holds figures; the first column heads its row.
    last_is_text
        Whether the last column is a sentence.
    """
    head = element(
        "tr", [element("th", name, scope="col", class_="num" if numeric else None) for name, numeric in heads]
    )
    body = [element("tr", _cells(heads, row, last_is_text=last_is_text)) for row in rows]
    return element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", head),
        element("tbody", body),
        class_="stack",
    )


def _cells(heads: Sequence[tuple[str, bool]], row: Sequence[Any], *, last_is_text: bool) -> Iterator[Markup]:
    yield element("th", element("bdi", row[0]), scope="row")
    for i, ((name, numeric), value) in enumerate(zip(heads[1:], row[1:], strict=True), start=1):
        is_text = last_is_text and i == len(heads) - 1
        class_ = "say" if is_text else "num" if numeric else "label"
        shown = "" if value is None else value if isinstance(value, str | Markup) else brief(value)
        yield element("td", shown, class_=class_ if shown else f"{class_} empty", data_label=name)
