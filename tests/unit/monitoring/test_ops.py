"""The example dashboard and alert rules name only metrics that a hub has, and are of the form their readers want."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aihub.api.metrics import Metrics
from aihub.monitoring.gauges import GAUGES

OPS = Path(__file__).parents[3] / "ops"
NAME = re.compile(r"\baihub_[a-z_]+\b")


def known() -> set[str]:
    names = {metric.name for metric in Metrics().registry.collect()}
    suffixed = {f"{name}{suffix}" for name in names for suffix in ("", "_total", "_bucket", "_count", "_sum")}
    return suffixed | set(GAUGES)


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((OPS / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_rule_is_whole_and_knows_its_metrics(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[mhd]", rule["for"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert set(NAME.findall(rule["expr"])) <= known()
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_alert_names_are_unique() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)


def test_the_dashboard_is_whole_and_knows_its_metrics() -> None:
    board = json.loads((OPS / "grafana-models.json").read_text())
    assert board["uid"]
    assert board["schemaVersion"] >= 36
    variables = {one["name"] for one in board["templating"]["list"]}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        for target in panel["targets"]:
            assert set(NAME.findall(target["expr"])) <= known(), panel["title"]
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables
    shown = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in NAME.findall(target["expr"])
    }
    assert set(GAUGES) - shown <= {"aihub_model_drift_effect"}


def test_panels_do_not_lie_on_each_other() -> None:
    board = json.loads((OPS / "grafana-models.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
