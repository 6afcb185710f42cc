"""Both workflows on main against a hub that really runs, which knows each job by a token of the stand-in."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from github_side import GitHubApi, Issuer, TokenService
from running_hub import RunningHub, hub_at
from workflow_runner import Runner, commit_of, machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aihub import Client

ROOT = Path(__file__).parents[2]
TENANT = "ci-baseline"
AUDIENCE = "https://hub.example.com"
MODELS = ("forecast_lgbm_baseline", "anomaly_lgbm_baseline")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def tokens(issuer: Issuer) -> Iterator[TokenService]:
    service = TokenService(issuer)
    yield service
    service.close()


@pytest.fixture
def api() -> Iterator[GitHubApi]:
    one = GitHubApi()
    yield one
    one.close()


@pytest.fixture
def hub(issuer: Issuer, api: GitHubApi, tmp_path: Path) -> Iterator[RunningHub]:
    (tmp_path / "jwks.json").write_bytes(issuer.jwks())
    environ = {
        "AIHUB_GITHUB_AUDIENCE": AUDIENCE,
        "AIHUB_GITHUB_JWKS": f"file:{tmp_path}/jwks.json",
        "AIHUB_GITHUB_API_URL": api.url,
        "AIHUB_GITHUB_TOKEN": "t",
    }
    with hub_at(tmp_path / "hub", environ) as hub:
        hub.start("up", name="up")
        hub.wait_until_ready()
        with hub.client() as client:
            client.tenants.create(TENANT)
        trust(hub, "train", "--role", "trainer", workflow="model-training")
        trust(
            hub,
            "deploy",
            "--role",
            "trainer",
            "--role",
            "deployer",
            "--environment",
            "production",
            workflow="model-training",
        )
        trust(hub, "watch", "--role", "viewer", workflow="model-monitoring")
        yield hub


def trust(hub: RunningHub, name: str, *options: str, workflow: str) -> None:
    where = f"acme/load/.github/workflows/{workflow}.yml@refs/heads/main"
    ids = ("--repository-id", "42", "--owner-id", "7", "--tenant", TENANT, "--ref", "refs/heads/main")
    command = [sys.executable, "-m", "aihub", "trust", "add", name, *ids, "--workflow", where, *options]
    done = subprocess.run(command, env=hub.environ, cwd=hub.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def runner_of(
    hub: RunningHub, api: GitHubApi, tokens: TokenService, folder: Path, ref: str = "refs/heads/main"
) -> Runner:
    folder.mkdir()
    (folder / "event.json").write_text("{}")
    github: dict[str, Any] = {
        "repository": "acme/load",
        "sha": commit_of(ROOT),
        "ref": ref,
        "event_name": "push",
        "run_id": "900",
        "run_number": "7",
        "server_url": "https://github.com",
        "api_url": api.url,
        "event_path": str(folder / "event.json"),
        "token": "ghs_x",
    }
    context = {"github": github, "vars": {"AIHUB_URL": hub.url, "AIHUB_AUDIENCE": AUDIENCE}}
    return Runner(ROOT, folder, context, machine(), tokens.authorize)


def told(runner: Runner, hub: RunningHub) -> str:
    steps = "\n".join(f"{s.job}: {s.name}: {s.code}\n{s.output[-1500:]}" for s in runner.steps if s.code)
    return f"{steps}\n{hub.log('up')[-3000:]}"


def test_main_is_trained_by_the_hub_approved_deployed_and_watched(
    hub: RunningHub, api: GitHubApi, tokens: TokenService, tmp_path: Path
) -> None:
    runner = runner_of(hub, api, tokens, tmp_path / "training")
    jobs = ("lint-test", "train", "validate", "deploy", "notify")
    assert runner.run("model-training.yml") == dict.fromkeys(jobs, "success"), told(runner, hub)
    assert "Every gate passed" in runner.summary()
    assert not any("hubgh_" in step.output.replace("::add-mask::hubgh_", "") for step in runner.steps)

    # GitHub let the run into production; a person of the hub still has to agree.
    carol = hub.key_of("carol", "approver", tenant=TENANT)
    with hub.client(carol) as client:
        asked = [one for one in client.approvals.list(state="pending") if one.model in MODELS]
        assert {one.model for one in asked} == set(MODELS)
        for one in asked:
            client.approvals.decide(one.id, "approve", reason="looked at the reports")
    with hub.client(tenant=TENANT) as client:
        assert until(lambda: all(in_production(client, name) for name in MODELS))
        actions = [event.action for event in client.audit.list(limit=500)]
    assert {"github.session_opened", "github.environment_entered", "model.deployed"} <= set(actions)
    assert until(lambda: any(path.endswith("/actions/runs/900/approvals") for _, path, _ in api.requests))

    watching = runner_of(hub, api, tokens, tmp_path / "monitoring")
    assert watching.run("model-monitoring.yml") == {"monitor": "success"}, told(watching, hub)


def test_another_branch_is_not_trusted_and_the_log_says_why(
    hub: RunningHub, api: GitHubApi, tokens: TokenService, tmp_path: Path
) -> None:
    runner = runner_of(hub, api, tokens, tmp_path / "monitoring", ref="refs/heads/develop")
    assert runner.run("model-monitoring.yml") == {"monitor": "failure"}
    (first, *_) = [step for step in runner.steps if step.code]
    assert "github.refused" in first.output
    with hub.client(tenant=TENANT) as client:
        (event, *_) = client.audit.list(action="github.refused")
    assert "refs/heads/develop" in event.reason


def in_production(client: Client, name: str) -> bool:
    return any(one["environment"] == "production" for one in client.models.get(name).serving)


def until(holds: Any, seconds: float = 90.0) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False
