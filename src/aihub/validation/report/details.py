"""The parts of the HTML report below the fold: each check, the settings in force, and what was compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aihub.types import Outcome, Severity
from aihub.validation.report.figures import badge, figures_of, gauge, table
from aihub.validation.report.markup import Markup, element, join
from aihub.validation.report.wording import (
    brief,
    figure,
    heading,
    margin,
    margin_text,
    plain,
    state,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aihub.validation.results import CheckResult, Finding

_KEY_CHECKS = frozenset({"champion_comparison", "champion"})
"""Shown open even where they passed: what people came to see."""

_FOLD_AFTER = 12
"""Passed findings beyond this many are folded away."""

_MAX_DEPTH = 4
_MAX_ITEMS = 60


def check_card(check: CheckResult, anchor: str, prefix: str, *, rows: int, figures: int) -> Markup:
    """Return one check: its state in the summary line, its findings and figures inside.

    Parameters
    ----------
    anchor, prefix
        Unique within the page: of the card, and of the figures in it.
    rows, figures
        Most findings and figures to show.
    """
    word = state(check)
    drawn = figures_of(check, prefix, figures) if figures else []
    opened = word not in ("passed", "skipped", "noted") or (check.name in _KEY_CHECKS and bool(drawn))
    summary = element(
        "summary",
        badge(word, stops=check.severity is Severity.FAIL),
        element("h3", heading(check.name)),
        element("span", _count(check), class_="count"),
    )
    inside = element(
        "div",
        element("p", plain(check.reason), class_="reason") if check.reason else None,
        _findings(check, rows),
        _confusion(check),
        _remarks(check),
        _slices(check),
        drawn,
        class_="inside",
    )
    return element("details", summary, inside, class_="check", id=anchor, open=opened)


def _count(check: CheckResult) -> str:
    total = sum(1 for f in check.findings if f.outcome is not Outcome.SKIPPED)
    if total == 0:
        return ""
    passed = sum(1 for f in check.findings if f.outcome is Outcome.PASSED)
    closest = min((m for f in check.findings if (m := margin(f)) is not None), default=None)
    room = "" if closest is None else f", smallest margin {margin_text(closest)}"
    return f"{passed} of {total} passed{room}"


def _findings(check: CheckResult, limit: int) -> Markup | None:
    if not check.findings:
        return None
    bad = [f for f in check.findings if f.outcome is not Outcome.PASSED]
    good = [f for f in check.findings if f.outcome is Outcome.PASSED]
    heads = (
        ("Subject", False),
        ("Outcome", False),
        ("Observed", True),
        ("Limit", True),
        ("Margin", True),
        ("What it means", False),
    )
    first = [*bad[:limit], *good[: max(0, min(_FOLD_AFTER, limit) - len(bad))]]
    rest = good[len(first) - min(len(bad), limit) :][:limit]
    name = heading(check.name)
    parts = [table(f"{name}: findings", heads, [_row(check, f) for f in first], last_is_text=True)]
    if rest:
        folded = table(
            f"{name}: more findings that passed", heads, [_row(check, f) for f in rest], last_is_text=True
        )
        parts.append(
            element("details", element("summary", f"{len(rest)} more passed"), folded, class_="more")
        )
    hidden = len(check.findings) - len(first) - len(rest)
    if hidden > 0:
        parts.append(element("p", f"{hidden} more findings are in report.json.", class_="reason"))
    return join(parts)


def _row(check: CheckResult, finding: Finding) -> list[Any]:
    room = margin(finding)
    shown = None if room is None else element("span", margin_text(room), gauge(room), class_="room")
    observed = None if finding.observed is None else brief(finding.observed)
    limit = None if finding.limit is None else brief(finding.limit)
    sign = badge(state_of(check, finding), stops=check.severity is Severity.FAIL)
    return [plain(finding.subject, 200), sign, observed, limit, shown, plain(finding.message, 400)]


def _confusion(check: CheckResult) -> Markup | None:
    """Return the four counts of a classifier as the table people know."""
    counts = check.details.get("confusion")
    if not isinstance(counts, Mapping):
        return None
    hit, false_alarm, missed, calm = (
        _shown(counts.get(f"{kind}s"))
        for kind in ("true_positive", "false_positive", "false_negative", "true_negative")
    )
    heads = (("What happened", False), ("Alarm raised", True), ("No alarm", True))
    rows = (["anomaly", hit, missed], ["normal", false_alarm, calm])
    return join([element("h4", "Alarms"), table("Alarms against what happened", heads, rows)])


def _remarks(check: CheckResult) -> Markup | None:
    said = check.details.get("notes")
    if not isinstance(said, list | tuple) or not said:
        return None
    return element("ul", [element("li", _note(note)) for note in said[:_MAX_ITEMS]], class_="notes")


def _slices(check: CheckResult) -> Markup | None:
    """Return the table of slices where the check made one: a list of mappings that share their keys."""
    slices = check.details.get("slices")
    if (
        not isinstance(slices, list | tuple)
        or not slices
        or not all(isinstance(row, Mapping) for row in slices)
    ):
        return None
    keys = [key for key in slices[0] if not isinstance(slices[0][key], Mapping | list | tuple)][:7]
    if not keys:
        return None
    first = next((key for key in ("slice", "label", "subject") if key in keys), keys[0])
    keys = [first, *(key for key in keys if key != first)]
    numeric = [all(isinstance(row.get(key), int | float | None) for row in slices) for key in keys]
    ranked = sorted(slices, key=_weakness)
    rows = [[_shown(row.get(key)) for key in keys] for row in ranked[: _MAX_ITEMS * 2]]
    heads = [(heading(str(key)), is_number) for key, is_number in zip(keys, numeric, strict=True)]
    parts = [
        element("h4", "Slices, the weakest first"),
        table("Error by slice of the data", heads, rows[:_FOLD_AFTER]),
    ]
    if len(rows) > _FOLD_AFTER:
        rest = table("Error by slice of the data, continued", heads, rows[_FOLD_AFTER:])
        parts.append(
            element(
                "details", element("summary", f"{len(slices) - _FOLD_AFTER} more slices"), rest, class_="more"
            )
        )
    return join(parts)


def _weakness(row: Mapping[str, Any]) -> tuple[float, float]:
    """Order slices: the surest first, then the largest loss against its reference; what is not known comes last."""
    sure = _real(row.get("p_adjusted", row.get("adjusted_p")), default=1.0)
    loss, reference = _real(row.get("loss", row.get("mae"))), _real(row.get("reference"), default=1.0)
    return sure, -_real(row.get("ratio"), default=loss / reference if reference else loss)


def _real(value: Any, default: float = 0.0) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else default


def _shown(value: Any) -> str | None:
    return None if value is None else brief(value)


def settings_section(settings: Mapping[str, Any]) -> tuple[str, str, Markup] | None:
    """Return the thresholds and parameters in force, each with where it came from."""
    rows = list(_flat(settings))
    if not rows:
        return None
    own = [row for row in rows if row[2] != "default"]
    defaults = [row for row in rows if row[2] == "default"]
    parts: list[Markup] = []
    if own:
        parts.append(_settings_table("What was set, and by whom", own))
    if defaults:
        folded = _settings_table("Defaults in force", defaults)
        summary = element("summary", f"{len(defaults)} defaults in force")
        parts.append(element("details", summary, folded, class_="more screen"))
    return "settings", "Settings in force", element("div", parts, class_="card")


def _settings_table(caption: str, rows: Sequence[tuple[str, str, str]]) -> Markup:
    lines = [[name, value, _source(source)] for name, value, source in rows[: _MAX_ITEMS * 4]]
    return table(caption, (("Setting", False), ("Value", True), ("From", False)), lines)


def _source(source: str) -> Markup:
    return element("span", source, class_="source" if source == "default" else "source own")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "value" in value:
            source = value.get("source", value.get("from", "default"))
            yield plain(name, 120), _inline(value["value"]), plain(source, 40)
        elif isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield plain(name, 120), _inline(value), "default"


def _inline(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(k, 60)} {_inline(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_inline(item) for item in value[:20])
    return f"{value:g}" if isinstance(value, float) else figure(value)


def context_section(report: Mapping[str, Any]) -> tuple[str, str, Markup] | None:
    """Return what was compared with what, the lineage, and what was repaired in the data."""
    context = getattr(report, "context", {})
    facts = {
        key: value for key, value in context.items() if key != "notes" and value not in (None, {}, [], "")
    }
    notes = [_note(note) for note in context.get("notes", ())]
    parts: list[Markup] = []
    if notes:
        items = [element("li", note) for note in notes[:_MAX_ITEMS]]
        parts += [element("h4", "Noted and repaired"), element("ul", items, class_="notes")]
    if facts:
        parts += [element("h4", "Compared and lineage"), _definitions(facts, 0)]
    path = {"model file": str(report.get("model_path", ""))}
    parts.append(_definitions(path, 0) if not facts else Markup(""))
    return ("context", "Data and lineage", element("div", parts, class_="card"))


def _note(note: Any) -> str:
    if not isinstance(note, Mapping):
        return plain(note, 400)
    where = [f"column {note['column']!r}"] if note.get("column") else []
    where += [f"{note['rows']:,} rows"] if isinstance(note.get("rows"), int) else []
    where += [f"first in row {note['first_row']}"] if note.get("first_row") is not None else []
    said = plain(note.get("message", note.get("code", "")), 400)
    return f"{said} ({', '.join(plain(part, 120) for part in where)})" if where else said


def _definitions(facts: Mapping[str, Any], depth: int) -> Markup:
    pairs: list[Markup] = []
    for key, value in list(facts.items())[:_MAX_ITEMS]:
        pairs += [element("dt", plain(key, 120)), element("dd", _definition(value, depth))]
    return element("dl", pairs, class_="facts2")


def _definition(value: Any, depth: int) -> Markup | str:
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return _definitions(value, depth + 1)
    if isinstance(value, list | tuple):
        return _joined(value, depth)
    return _inline(value)


def _joined(values: Sequence[Any], depth: int) -> Markup | str:
    if any(isinstance(value, Mapping) for value in values):
        return join([_definition(value, depth) for value in values[:_MAX_ITEMS]])
    more = f" … and {len(values) - _MAX_ITEMS} more" if len(values) > _MAX_ITEMS else ""
    return ", ".join(_inline(value) for value in values[:_MAX_ITEMS]) + more
