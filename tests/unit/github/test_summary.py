from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from aihub.cli.report import report as report_command
from aihub.github import summary
from aihub.github.client import GitHubClient
from aihub.github.lines import line_for, lines_of
from aihub.github.publish import Run, publish, update_comment
from aihub.github.summary import Judged
from aihub.validation.report import render_json
from aihub.validation.report.markdown import MARKER
from aihub.validation.validator import ModelValidator

if TYPE_CHECKING:
    from aihub.validation.results import ValidationReport
    from github_side import GitHubApi

SPEC = """name: load
training:
  target: load
  features: [temperature]
validation:
  thresholds:
    mae: {max: 1.0}
    rmse: {max: 900.0}
    mape: null
    r2_score: null
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> ValidationReport:
    """The report of a model whose mean error is above the spec's limit."""
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    y = 5 * x[:, 0] + rng.normal(0, 20, 400)
    data = lightgbm.Dataset(x, y, feature_name=["temperature"])
    model = lightgbm.train({"verbose": -1, "num_threads": 1, "seed": 1}, data, 5)
    model.save_model(folder / "model.txt")
    validator = ModelValidator("forecast", thresholds={"mae": {"max": 1.0}, "mape": None, "r2_score": None})
    found = validator.validate_model(
        folder / "model.txt",
        pd.DataFrame({"temperature": x[:, 0], "load": y}),
        "load",
        context={"model": {"name": "load"}},
    )
    assert not found.passed
    return found


def judged(report: ValidationReport, name: str = "load") -> Judged:
    return Judged(name=name, report=report, spec="models/load.yaml", lines=lines_of(SPEC))


def test_an_annotation_stands_on_the_line_of_the_limit(failed: ValidationReport) -> None:
    (first, *_) = summary.notes([judged(failed)])
    assert (first.kind, first.file, first.line) == ("error", "models/load.yaml", 7)
    assert first.to_command().startswith(
        "::error title=load%3A Performance%3A mae,file=models/load.yaml,line=7::"
    )
    assert first.to_check()["annotation_level"] == "failure"
    # Two sentences, not one run into the other.
    assert " is above the maximum of 1.0000. Train on " in first.message


def test_lines_fall_back_from_the_limit_to_the_section() -> None:
    lines = lines_of(SPEC)
    assert line_for(lines, "performance", "mae") == 7
    assert line_for(lines, "performance", "smape") == 6
    assert line_for(lines, "data_drift", "temperature") == 4
    assert line_for(lines, "bias", "bias") == 5
    assert line_for({}, "bias", "bias") is None
    assert lines_of(": : {") == {}


def test_more_annotations_than_github_shows_are_counted(failed: ValidationReport) -> None:
    found = summary.notes([judged(failed, f"load-{n}") for n in range(30)])
    errors = [note for note in found if note.kind == "error"]
    assert len(errors) == 10
    assert "more findings" in errors[-1].message


@pytest.mark.parametrize("limit", [2_000, 20_000, 60_000])
def test_many_reports_stay_within_the_limit(failed: ValidationReport, limit: int) -> None:
    text = summary.render([judged(failed, f"load-{n}") for n in range(10)], limit=limit)
    assert len(text.encode()) <= limit
    assert text.startswith(MARKER)
    assert "A gate failed" in text


def test_no_report_is_no_pass() -> None:
    assert not summary.all_passed([])
    assert "No report" in summary.render([], limit=1000)
    assert summary.check_run([], sha="a")["conclusion"] == "failure"


def test_names_are_text_and_no_markup(failed: ValidationReport) -> None:
    text = summary.render([judged(failed, "<img src=x>@team|")], limit=60_000)
    assert "<img" not in text.replace("\\<img", "").replace("&lt;img", "")
    assert "@team" not in text.replace("@\u200b", "").partition("<summary>")[0]


def test_one_comment_is_updated_in_place_and_a_stranger_s_left_alone(api: GitHubApi) -> None:
    api.comments = [{"id": 1, "user": {"type": "User"}, "body": f"{MARKER} mine"}]
    client = GitHubClient(api.url, token="t")  # noqa: S106 - no secret
    for body in (f"{MARKER}\none", f"{MARKER}\ntwo", f"{MARKER}\ntwo"):
        update_comment(client, "a/b", 5, body)
    assert [comment["body"] for comment in api.comments] == [f"{MARKER} mine", f"{MARKER}\ntwo"]
    assert [method for method, _, _ in api.requests if method != "GET"] == ["POST", "PATCH"]


def _run(api: GitHubApi, tmp_path: Path, **more: str) -> Run:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 5, "head": {"sha": "headsha"}}}))
    environ = {
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "9",
        "GITHUB_SHA": "mergesha",
        "GITHUB_API_URL": api.url,
        "GITHUB_EVENT_PATH": str(event),
        **more,
    }
    return Run.current(environ)


def test_a_fork_that_may_only_read_loses_comment_and_check_and_nothing_else(
    api: GitHubApi, tmp_path: Path
) -> None:
    run = _run(api, tmp_path, GITHUB_TOKEN="t")  # noqa: S106 - no secret
    assert (run.pull_request, run.sha) == (5, "headsha")
    api.answers = [(403, {}, {}), (403, {}, {})]
    faults = publish(run, "text", {})
    assert [fault.partition(":")[0] for fault in faults] == ["no comment", "no check"]
    assert publish(_run(api, tmp_path), "text", {}) == ["no comment and no check: GITHUB_TOKEN is not set"]


def test_the_command_writes_summary_comment_check_and_annotations(
    api: GitHubApi, failed: ValidationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(api, tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "load.yaml").write_text(SPEC)
    (tmp_path / "reports" / "load").mkdir(parents=True)
    (tmp_path / "reports" / "load" / "report.json").write_text(render_json(failed))
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "9",
        "GITHUB_SHA": "mergesha",
        "GITHUB_API_URL": api.url,
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_TOKEN": "t",
        "GITHUB_WORKSPACE": str(tmp_path),
    }
    done = CliRunner().invoke(
        report_command, ["--github", "--specs", "models", "reports"], env=given, standalone_mode=False
    )
    assert done.return_value == 1, done.output
    assert "::error title=load%3A Performance%3A mae,file=models/load.yaml,line=7::" in done.output
    assert "A gate failed" in Path(given["GITHUB_STEP_SUMMARY"]).read_text()
    assert "actions/runs/9#artifacts" in api.comments[0]["body"]
    (check,) = [body for method, path, body in api.requests if path.endswith("/check-runs")]
    assert (check["conclusion"], check["head_sha"]) == ("failure", "headsha")


def test_a_spec_outside_of_the_checkout_does_not_cost_the_check(
    api: GitHubApi, failed: ValidationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(api, tmp_path)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "load.yaml").write_text(SPEC)
    (checkout / "report.json").write_text(render_json(failed))
    monkeypatch.chdir(checkout)
    given = {
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "9",
        "GITHUB_SHA": "sha",
        "GITHUB_API_URL": api.url,
        "GITHUB_TOKEN": "t",
        "GITHUB_WORKSPACE": str(checkout),
    }
    arguments = ["--github", "--specs", str(tmp_path / "load.yaml"), "report.json"]
    done = CliRunner().invoke(report_command, arguments, env=given, standalone_mode=False)
    assert done.return_value == 1, done.output
    assert "::error title=load%3A Performance%3A mae::" in done.output
    (check,) = [body for _, path, body in api.requests if path.endswith("/check-runs")]
    assert check["output"]["annotations"] == []
