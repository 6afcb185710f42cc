"""Figures as inline SVG: no script, no font, no colour of their own (the page's classes colour them).

The drawing area stretches with the page while text and lines keep their size: paths live in a nested ``<svg>`` that is
1,000 units wide whatever its width on the screen, labels are placed in per cent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from aihub.validation.report.axes import Scale, bounds, moments, tick_text, ticks, time_ticks
from aihub.validation.report.markup import Markup, element
from aihub.validation.report.wording import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ACROSS = 1000
"""Units from left to right."""

TOP = 10
BOTTOM = 24
"""Pixels above and below the drawing area; the labels of the x axis stand below."""

ROLES = {"actual": "actual", "observed": "actual", "prediction": "current", "predicted": "current"}
"""Lines with a colour of their own; any other takes the next of the palette."""

MAX_LINES = 6
_ROW = 40


def draw(plot: Mapping[str, Any], ident: str, *, height: int = 220) -> Markup | None:
    """Return the figure's drawing, or None where the plot is of no known kind or holds nothing to draw.

    Parameters
    ----------
    plot
        As described in `aihub.validation.report.plots`.
    ident
        Unique within the page; ties the drawing to its title and description.
    height
        Pixels, for kinds whose height does not follow from their rows.
    """
    artist = _ARTISTS.get(str(plot.get("kind")))
    if artist is None:
        return None
    try:
        return artist(plot, ident, height)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError, OverflowError):
        return None  # plots of third-party checks may be malformed; a figure is never worth the report


def legend(plot: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return class and label of every mark in the figure that needs explaining."""
    kind = plot.get("kind")
    if kind == "series":
        names = list(plot.get("lines", {}))[:MAX_LINES]
        keys = [(f"line {_role(i, name)}", name) for i, name in enumerate(names)]
        band = plot.get("band")
        shade = [("area band", str(band.get("name", "interval")))] if isinstance(band, Mapping) else []
        return keys + shade if len(keys + shade) > 1 else []
    if kind in ("histogram", "categories"):
        shape = "area" if kind == "histogram" else "bar"
        return [(f"{shape} reference", "reference"), (f"{shape} current", "current")]
    if kind == "interval" and plot.get("limit") is not None:
        return [("line limit", "limit")]
    return []


def _series(plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    lines = {str(name): values for name, values in list(plot["lines"].items())[:MAX_LINES]}
    band = plot.get("band") if isinstance(plot.get("band"), Mapping) else None
    every = [v for values in lines.values() for v in values]
    every += [*band["lower"], *band["upper"]] if band else []
    if not any(_known(v) for v in every):
        return None
    positions, marks = _x_axis(plot["x"])
    low, high = bounds(every, zero=bool(plot.get("zero")))
    frame = _Frame(low, high, height)
    body = [frame.band(positions, band["lower"], band["upper"])] if band else []
    if low < 0 < high:
        body.append(frame.rule(0.0, "zero"))
    for i, (name, values) in enumerate(lines.items()):
        body.append(frame.line(positions, values, f"line {_role(i, name)}"))
    return frame.finish(ident, plot, body, marks, f"Lines over {len(positions)} points: {', '.join(lines)}.")


def _bars(plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    values, labels = list(plot["values"]), [plain(label, 40) for label in plot["labels"]]
    lower, upper = plot.get("lower") or [], plot.get("upper") or []
    reference = plot.get("reference")
    if not any(_known(v) for v in values):
        return None
    low, high = bounds([*values, *lower, *upper, reference], zero=True)
    frame = _Frame(low, high, height)
    slot = ACROSS / len(values)
    path = "".join(
        _box(i * slot + slot * 0.15, frame.y(max(v, 0.0)), slot * 0.7, frame.y(min(v, 0.0)))
        for i, v in enumerate(values)
        if _known(v)
    )
    body = [element("path", d=path, class_="area current"), frame.rule(0.0, "zero")]
    whiskers = "".join(
        f"M{(i + 0.5) * slot:.1f} {frame.y(a):.1f}V{frame.y(b):.1f}"
        for i, (a, b) in enumerate(zip(lower, upper, strict=False))
        if _known(a) and _known(b)
    )
    body += [element("path", d=whiskers, class_="line whisker")] if whiskers else []
    body += [frame.rule(reference, "limit")] if _known(reference) else []
    stride = max(1, math.ceil(len(labels) / 12))
    marks = [((i + 0.5) * slot, label) for i, label in enumerate(labels) if i % stride == 0]
    top = max(range(len(values)), key=lambda i: values[i] if _known(values[i]) else -math.inf)
    return frame.finish(
        ident, plot, body, marks, f"{len(values)} bars; the largest is {labels[top]}.", middle=True
    )


def _histogram(plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    edges = [float(edge) for edge in plot["edges"]]
    shares = {side: _normed(plot[side]) for side in ("reference", "current")}
    if len(edges) < 2 or edges[-1] <= edges[0]:  # noqa: PLR2004 - two edges make a bin
        return None
    across = Scale(edges[0], edges[-1], 0, ACROSS)
    frame = _Frame(0.0, max(*shares["reference"], *shares["current"], 1e-9) * 1.08, height, unit="%")
    body = [
        element(
            "path",
            d=_steps([across(e) for e in edges], [frame.y(v) for v in values], frame.y(0)),
            class_=f"area {side}",
        )
        for side, values in shares.items()
    ]
    found = ticks(edges[0], edges[-1], 4)
    step = found[1] - found[0] if len(found) > 1 else 0.0
    marks = [(across(value), tick_text(value, step)) for value in found]
    moved = 0.5 * sum(abs(a - b) for a, b in zip(*shares.values(), strict=True))
    return frame.finish(
        ident, plot, body, marks, f"Two distributions; {moved:.0%} of the mass lies elsewhere."
    )


def _categories(plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    del height
    labels = [plain(label, 60) for label in plot["labels"]]
    before, now = _normed(plot["reference"]), _normed(plot["current"])
    top = max(*before, *now, 1e-9)
    rows = []
    for i, (label, a, b) in enumerate(zip(labels, before, now, strict=True)):
        y = i * _ROW
        rows += [
            element("text", label, x=0, y=y + 12, class_="name"),
            element("text", f"{a:.1%} → {b:.1%}", x="100%", y=y + 12, class_="end"),
            element("rect", x=0, y=y + 18, width=_percent(a / top), height=7, class_="bar reference"),
            element("rect", x=0, y=y + 27, width=_percent(b / top), height=7, class_="bar current"),
        ]
    return _sheet(
        ident, plot, rows, len(labels) * _ROW, f"Shares of {len(labels)} categories before and now."
    )


def _interval(plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    del height
    rows = list(plot["rows"])
    reference, limit = plot.get("reference"), plot.get("limit")
    ends = [row.get(key) for row in rows for key in ("estimate", "lower", "upper")]
    if not any(_known(v) for v in ends):
        return None
    low, high = bounds([*ends, reference, limit], room=0.08)
    across = Scale(low, high, 0, 1)
    deep = len(rows) * _ROW
    body: list[Markup] = []
    for value, role in ((reference, "zero"), (limit, "limit")):
        if _known(value):
            at = _percent(across(value))
            body.append(element("line", x1=at, x2=at, y1=0, y2=deep + 4, class_=f"line {role}"))
    for i, row in enumerate(rows):
        body += _interval_row(row, across, i * _ROW)
    found = ticks(low, high, 5)
    step = found[1] - found[0] if len(found) > 1 else 0.0
    for value in found:
        anchor = _anchor(across(value) * ACROSS)
        body.append(
            element(
                "text",
                tick_text(value, step),
                x=_percent(across(value)),
                y=deep + 20,
                class_=f"tick {anchor}",
            )
        )
    return _sheet(ident, plot, body, deep + BOTTOM + 4, f"{len(rows)} estimates with their intervals.")


def _interval_row(row: Mapping[str, Any], across: Scale, y: float) -> Iterator[Markup]:
    estimate, lower, upper = (row.get(key) for key in ("estimate", "lower", "upper"))
    words = _short(estimate) + (
        f" ({_short(lower)} to {_short(upper)})" if _known(lower) and _known(upper) else ""
    )
    yield element("text", plain(row.get("label", ""), 60), x=0, y=y + 13, class_="name")
    yield element("text", words, x="100%", y=y + 13, class_="end")
    if _known(lower) and _known(upper):
        ends = {"x1": _percent(across(lower)), "x2": _percent(across(upper))}
        yield element("line", **ends, y1=y + 27, y2=y + 27, class_="line spread")
    if _known(estimate):
        yield element("circle", cx=_percent(across(estimate)), cy=y + 27, r=5, class_="dot")


def _scatter(plot: Mapping[str, Any], ident: str, height: int) -> Markup | None:
    pairs = [(a, b) for a, b in zip(plot["x"], plot["y"], strict=True) if _known(a) and _known(b)]
    if not pairs:
        return None
    diagonal = bool(plot.get("diagonal"))
    xs, ys = [a for a, _ in pairs], [b for _, b in pairs]
    left, right = bounds([*xs, *ys] if diagonal else xs)
    low, high = (left, right) if diagonal else bounds(ys)
    frame, across = _Frame(low, high, height), Scale(left, right, 0, ACROSS)
    dots = "".join(f"M{across(a):.1f} {frame.y(b):.1f}h0" for a, b in pairs)
    body = [element("path", d=dots, class_="dots")]
    if diagonal:
        body.insert(
            0, element("path", d=f"M0 {frame.y(left):.1f}L{ACROSS} {frame.y(right):.1f}", class_="line zero")
        )
    found = ticks(left, right, 5)
    step = found[1] - found[0] if len(found) > 1 else 0.0
    marks = [(across(value), tick_text(value, step)) for value in found]
    return frame.finish(ident, plot, body, marks, f"{len(pairs)} points.")


class _Frame:
    """The y axis and the drawing area of a figure."""

    def __init__(self, low: float, high: float, height: int, unit: str = "") -> None:
        self.low, self.high, self.height, self.unit = low, high, height, unit
        self.inner = height - TOP - BOTTOM
        self.y = Scale(low, high, self.inner, 0)

    def rule(self, value: float, role: str) -> Markup:
        return element("path", d=f"M0 {self.y(value):.1f}H{ACROSS}", class_=f"line {role}")

    def line(self, positions: Sequence[float], values: Sequence[Any], role: str) -> Markup:
        path = "".join(_polyline(run) for run in _runs(positions, values, self.y))
        return element("path", d=path, class_=role)

    def band(self, positions: Sequence[float], lower: Sequence[Any], upper: Sequence[Any]) -> Markup:
        whole = [u if _known(low) else None for low, u in zip(lower, upper, strict=True)]
        tops = _runs(positions, whole, self.y)
        floors = _runs(
            positions, [low if _known(u) else None for low, u in zip(lower, upper, strict=True)], self.y
        )
        path = "".join(
            f"{_polyline(above)}L{_polyline(below[::-1])[1:]}Z"
            for above, below in zip(tops, floors, strict=True)
        )
        return element("path", d=path, class_="area band")

    def finish(
        self,
        ident: str,
        plot: Mapping[str, Any],
        body: Sequence[Markup],
        marks: Sequence[tuple[float, str]],
        words: str,
        *,
        middle: bool = False,
    ) -> Markup:
        """Return axis and area side by side; `middle` centres every label, as bars need it."""
        found = ticks(self.low, self.high)
        step = found[1] - found[0] if len(found) > 1 else 0.0
        grid = element("path", d="".join(f"M0 {self.y(v):.1f}H{ACROSS}" for v in found), class_="grid")
        area = element(
            "svg",
            grid,
            body,
            y=TOP,
            width="100%",
            height=self.inner,
            view_box=f"0 0 {ACROSS} {self.inner}",
            preserve_aspect_ratio="none",
        )
        labels = [
            element(
                "text",
                label,
                x=_percent(at / ACROSS),
                y=self.height - 6,
                class_=f"tick {'middle' if middle else _anchor(at)}{' odd' if i % 2 else ''}",
            )
            for i, (at, label) in enumerate(marks)
        ]
        scale = [
            element("text", self._tick(v, step), x="100%", y=f"{TOP + self.y(v) + 4:.1f}", class_="tick end")
            for v in found
        ]
        return element(
            "div",
            element("svg", scale, class_="scale", width=52, height=self.height, aria_hidden="true"),
            _sheet(ident, plot, [area, *labels], self.height, words),
            class_="chart",
        )

    def _tick(self, value: float, step: float) -> str:
        return f"{tick_text(value * 100, step * 100)} %" if self.unit == "%" else tick_text(value, step)


def _sheet(ident: str, plot: Mapping[str, Any], body: Iterable[Markup], height: float, words: str) -> Markup:
    name = plain(plot.get("title") or ident, 200)
    note = plain(plot.get("note", ""), 300)
    return element(
        "svg",
        element("title", name, id=f"{ident}-t"),
        element("desc", f"{words} {note}".strip(), id=f"{ident}-d"),
        body,
        role="img",
        aria_labelledby=f"{ident}-t {ident}-d",
        class_="sheet",
        width="100%",
        height=float(height),
    )


def _x_axis(x: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return where each point lies across, and the labels."""
    stamps = moments(x)
    if stamps is not None:
        low, high = (min(stamps), max(stamps)) if stamps else (0.0, 1.0)
        high = high if high > low else low + 1
        across = Scale(low, high, 0, ACROSS)
        return [across(s) for s in stamps], [(across(at), label) for at, label in time_ticks(low, high)]
    numbers = [float(v) if _known(v) else float(i) for i, v in enumerate(x)]
    low, high = bounds(numbers, room=0)
    across = Scale(low, high, 0, ACROSS)
    found = ticks(low, high, 5)
    step = found[1] - found[0] if len(found) > 1 else 0.0
    return [across(v) for v in numbers], [(across(v), tick_text(v, step)) for v in found]


def _runs(
    positions: Sequence[float], values: Sequence[Any], y: Callable[[float], float]
) -> list[list[tuple[float, float]]]:
    """Return the stretches between gaps, as points."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(positions, values, strict=True):
        if _known(value):
            runs[-1].append((at, y(value)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _polyline(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        return f"M{points[0][0]:.1f} {points[0][1]:.1f}h0"
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def _steps(edges: Sequence[float], tops: Sequence[float], floor: float) -> str:
    path = f"M{edges[0]:.1f} {floor:.1f}"
    for top, end in zip(tops, edges[1:], strict=True):
        path += f"V{top:.1f}H{end:.1f}"
    return f"{path}V{floor:.1f}Z"


def _box(left: float, top: float, width: float, floor: float) -> str:
    return f"M{left:.1f} {top:.1f}h{width:.1f}V{floor:.1f}h-{width:.1f}Z"


def _normed(values: Sequence[Any]) -> list[float]:
    clean = [max(float(v), 0.0) if _known(v) else 0.0 for v in values]
    total = sum(clean)
    return [v / total for v in clean] if total > 0 else clean


def _known(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if _known(value) else "n/a"


def _percent(share: float) -> str:
    return f"{min(max(share, 0.0), 1.0) * 100:.2f}%"


def _anchor(at: float) -> str:
    """Keep the labels at both ends inside the figure."""
    return "start" if at < ACROSS * 0.04 else "end" if at > ACROSS * 0.96 else "middle"


def _role(index: int, name: str) -> str:
    return ROLES.get(name.lower(), f"l{index}")


_ARTISTS: dict[str, Callable[[Mapping[str, Any], str, int], Markup | None]] = {
    "series": _series,
    "bars": _bars,
    "histogram": _histogram,
    "categories": _categories,
    "interval": _interval,
    "scatter": _scatter,
}
