from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from aihub.validation.report import plots
from aihub.validation.report.svg import draw, legend

STAMPS = np.datetime64("2024-01-01", "us") + np.arange(48) * np.timedelta64(1, "h")
Y = np.sin(np.arange(48.0))
PLOTS = {
    "series": plots.series(STAMPS, {"actual": Y, "prediction": Y + 0.1}, band=("90 %", Y - 1, Y + 1)),
    "series over numbers": plots.series(np.arange(48), {"y": Y}, zero=True),
    "bars": plots.bars(range(24), Y[:24], spread=(Y[:24] - 1, Y[:24] + 1), reference=0.5),
    "histogram": plots.histogram_of(Y, Y + 1),
    "categories": plots.categories(["a", "b"], [1, 2], [2, 1]),
    "interval": plots.intervals(
        [{"label": "r", "estimate": 1.1, "lower": 1.0, "upper": 1.2}], reference=1.0, limit=1.05
    ),
    "scatter": plots.scatter(Y, Y, diagonal=True),
}


@pytest.mark.parametrize("name", PLOTS)
def test_every_kind_is_well_formed_and_named(name: str) -> None:
    drawing = draw(PLOTS[name] | {"title": "<Title> & co", "note": "a note"}, "p1")
    assert drawing is not None
    root = ET.fromstring(drawing)  # noqa: S314 - drawn by this test
    assert root.find(".//title").text == "<Title> & co"  # type: ignore[union-attr]
    assert "a note" in (root.find(".//desc").text or "")  # type: ignore[union-attr]
    assert "nan" not in drawing.lower().replace("nance", "")
    assert "inf" not in drawing.lower()


def test_a_gap_breaks_the_line() -> None:
    y = [1.0, None, 3.0, 4.0, None, None, 2.0]
    drawing = draw({"kind": "series", "x": list(range(7)), "lines": {"y": y}, "band": None}, "p")
    path = re.search(r'd="(M[^"]*)" class="line l0"', str(drawing))
    assert path is not None
    assert path[1].count("M") == 3


def test_the_band_closes_around_each_run() -> None:
    band = {"name": "b", "lower": [0.0, None, 0.0, 0.0], "upper": [1.0, 1.0, 1.0, 2.0]}
    drawing = draw({"kind": "series", "x": [0, 1, 2, 3], "lines": {"y": [1, 1, 1, 1]}, "band": band}, "p")
    path = re.search(r'd="([^"]*)" class="area band"', str(drawing))
    assert path is not None
    assert path[1].count("Z") == 2


def test_higher_values_are_drawn_higher() -> None:
    drawing = str(draw({"kind": "bars", "labels": ["a", "b"], "values": [1.0, -1.0]}, "p"))
    path = re.search(r'd="([^"]*)" class="area current"', drawing)
    assert path is not None
    tops = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)h", path[1])]
    assert tops[0] < tops[1]


@pytest.mark.parametrize(
    "plot",
    [
        {},
        {"kind": "pie"},
        {"kind": "series", "x": [], "lines": {"y": []}},
        {"kind": "series", "x": [1], "lines": {"y": [None]}},
        {"kind": "bars", "labels": ["a"], "values": [None]},
        {"kind": "histogram", "edges": [1, 1], "reference": [1], "current": [1]},
        {"kind": "interval", "rows": [{"label": "a"}]},
        {"kind": "scatter", "x": [None], "y": [1]},
        {"kind": "categories", "labels": [], "reference": [], "current": []},
    ],
)
def test_nothing_to_draw_is_nothing(plot: dict[str, object]) -> None:
    assert draw(plot, "p") is None


def test_the_legend_names_what_colour_alone_would_not() -> None:
    assert legend(PLOTS["series"]) == [
        ("line actual", "actual"),
        ("line current", "prediction"),
        ("area band", "90 %"),
    ]
    assert legend(PLOTS["series over numbers"]) == []
    assert [label for _, label in legend(PLOTS["histogram"])] == ["reference", "current"]
    assert legend(PLOTS["interval"]) == [("line limit", "limit")]
