"""Both workflows, step by step: without a hub as for a pull request, and with one as on main."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from github_side import GitHubApi
from workflow_expressions import condition, evaluate, interpolate
from workflow_runner import Runner, commit_of, machine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def api() -> Iterator[GitHubApi]:
    one = GitHubApi()
    yield one
    one.close()


def github(api: GitHubApi, folder: Path, event: str, ref: str) -> dict[str, Any]:
    file = folder / "event.json"
    sha = commit_of(ROOT)
    pull = {"pull_request": {"number": 5, "head": {"sha": sha}}} if event == "pull_request" else {}
    file.write_text(json.dumps(pull))
    return {
        "repository": "acme/load",
        "sha": sha,
        "ref": ref,
        "event_name": event,
        "run_id": str(int(time.time())),
        "run_number": "7",
        "server_url": "https://github.com",
        "api_url": api.url,
        "event_path": str(file),
        "actor": "alice",
        "token": "ghs_x",
    }


def told(runner: Runner) -> str:
    return "\n".join(
        f"{s.job}: {s.name}: {s.code}\n{s.output[-1500:]}"
        for s in runner.steps
        if s.code or "pytest" in s.name
    )


def with_few_trees(models: Path) -> None:
    """Make the forecasts of a repository quick to train; the specs as they are run in the test of a pull request."""
    for name in ("forecast_lgbm", "forecast_xgboost"):
        spec = models / f"{name}.yaml"
        text = spec.read_text()
        # In the place of a line, so that the numbers of the lines stay.
        assert "  frequency: 1h\n" in text
        spec.write_text(
            text.replace("  frequency: 1h\n", "  hyperparameters: {n_estimators: 60, learning_rate: 0.1}\n")
        )


def test_a_pull_request_is_judged_on_the_runner(api: GitHubApi, tmp_path: Path) -> None:
    context = {
        "github": github(api, tmp_path, "pull_request", "refs/pull/5/merge"),
        "vars": {"AIHUB_URL": "http://127.0.0.1:9"},
    }
    runner = Runner(ROOT, tmp_path, context, machine())
    assert runner.run("model-training.yml") == {
        "lint-test": "success",
        "train": "success",
        "validate": "success",
        "deploy": "skipped",
        "notify": "success",
    }, told(runner)
    jobs = {step.job for step in runner.steps}
    assert {f"train-{m}-{a}" for m in ("forecast", "anomaly") for a in ("lgbm", "xgboost")} <= jobs
    assert "Every gate passed" in runner.summary()
    assert "deployed - skipped" in runner.summary()
    (comment,) = api.comments
    assert "forecast\\_xgboost\\_baseline" in comment["body"]
    (check,) = [body for _, path, body in api.requests if path.endswith("/check-runs")]
    assert (check["conclusion"], check["head_sha"]) == ("success", commit_of(ROOT))


def test_a_gate_that_fails_stops_the_pipeline_and_says_why(api: GitHubApi, tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", ROOT, source], check=True)
    with_few_trees(source / "models")
    spec = source / "models/forecast_lgbm.yaml"
    spec.write_text(spec.read_text().replace("mae: {max: 50.0}", "mae: {max: 0.5}"))
    folder = tmp_path / "run"
    folder.mkdir()
    context = {
        "github": github(api, folder, "workflow_dispatch", "refs/heads/main"),
        "inputs": {"model_type": "forecast"},
    }
    runner = Runner(source, folder, context, machine())
    results = runner.run("model-training.yml")
    assert results == {
        "lint-test": "success",
        "train": "failure",
        "validate": "failure",
        "deploy": "skipped",
        "notify": "success",
    }, told(runner)
    (judged,) = [step for step in runner.steps if step.name == "Judge"]
    assert "file=models/forecast_lgbm.yaml,line=15" in judged.output
    assert "A gate failed" in runner.summary()
    assert not any(step.job.startswith("train-anomaly") for step in runner.steps)


def test_what_init_writes_runs_in_another_repository(api: GitHubApi, tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    folder.mkdir()
    for command in (
        ["git", "init", "-q", "."],
        ["aihub", "init", "--path", "teams/load"],
        ["git", "add", "-A"],
    ):
        subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    with_few_trees(source / "teams/load/models")
    context = {
        "github": github(api, folder, "workflow_dispatch", "refs/heads/main"),
        "inputs": {"model_type": "forecast"},
    }
    runner = Runner(source, folder, context, machine())
    assert runner.run("model-training.yml") == {
        "lint-test": "success",
        "train": "success",
        "validate": "success",
        "deploy": "skipped",
        "notify": "success",
    }, told(runner)
    assert "forecast\\_xgboost\\_baseline" in runner.summary()
    assert runner.run("model-monitoring.yml")["monitor"] == "skipped"


def test_the_evaluator_knows_github_s_rules() -> None:
    contexts = {
        "status": "success",
        "vars": {},
        "github": {"ref": "refs/heads/main"},
        "inputs": {"kind": "a"},
    }
    assert evaluate("vars.AIHUB_URL != ''", contexts) is False
    assert evaluate("github.ref == 'REFS/heads/main' && 'x' || 'y'", contexts) == "x"
    assert evaluate("fromJSON(inputs.kind && format('[\"{0}\"]', inputs.kind))", contexts) == ["a"]
    assert interpolate("${{ github.ref }}!", contexts) == "refs/heads/main!"
    assert condition("github.ref == 'x'", contexts) is False
    assert condition("${{ !cancelled() }}", {**contexts, "status": "failure"}) is True
    assert condition("github.ref != 'x'", {**contexts, "status": "failure"}) is False
    assert condition(None, contexts) is True
