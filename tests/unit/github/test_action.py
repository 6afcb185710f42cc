"""The composite action: what it says of a model is what became of that model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_expressions import condition, interpolate

ACTION: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "action.yml").read_text())


@pytest.mark.parametrize(
    ("hub", "runner", "show", "passed"),
    [
        ("skipped", "success", "success", True),
        ("success", "skipped", "success", True),
        ("skipped", "failure", "failure", False),
        # The report of a step before lies there still, and it passed.
        ("skipped", "failure", "success", False),
        ("skipped", "skipped", "success", False),
    ],
)
def test_a_model_passed_when_it_was_trained_and_its_gate_let_it_through(
    hub: str, runner: str, show: str, *, passed: bool
) -> None:
    steps = {"hub": {"outcome": hub}, "runner": {"outcome": runner}, "show": {"outcome": show}}
    assert interpolate(ACTION["outputs"]["passed"]["value"], {"steps": steps}) is passed
    assert {"hub", "runner", "show"} <= {step.get("id") for step in ACTION["runs"]["steps"]}


@pytest.mark.parametrize("url", ["", "https://hub.example.com"])
def test_it_trains_in_one_place_alone(url: str) -> None:
    contexts = {"inputs": {"hub-url": url}, "status": "success"}
    trains = [
        step["id"]
        for step in ACTION["runs"]["steps"]
        if step["name"].startswith("Train") and condition(step["if"], contexts)
    ]
    assert trains == ["hub" if url else "runner"]


def test_nothing_of_a_caller_is_put_into_a_script() -> None:
    assert not any("${{" in step.get("run", "") for step in ACTION["runs"]["steps"])
