"""The guide's scripts, workflow steps and curl calls, as they are written there, against a hub that runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import lightgbm
import numpy as np
import pytest

from aihub.errors import ForbiddenError
from aihub.training.synthetic import generate_forecast_data
from running_hub import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from running_hub import RunningHub

    Called = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHA = "1234567890abcdef1234567890abcdef12345678"
TENANT = "ci-baseline"
MODEL = "forecast_lgbm_baseline"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runner")


def ok(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_release_as_the_guide_describes_it(hub: RunningHub, place: Path, call: Called) -> None:
    """Generate, train, register, approve by somebody else, deploy, and roll back with curl."""
    environ = {**hub.client_environ(), "GITHUB_SHA": SHA}
    data, pickle = place / "training_data.csv", place / "model.pkl"
    arguments = ["--model-type", "forecast", "--samples", "10000", "--output", str(data)]
    assert ok(call("generate_training_data.py", *arguments, environ=environ)) == "Generated 10000 samples\n"

    create = [
        *("--tenant-id", TENANT, "--model-type", "forecast", "--algorithm", "lgbm"),
        *("--data-path", str(data), "--priority", "high"),
    ]
    printed = ok(call("create_training_job.py", *create, "--output", str(pickle), environ=environ))
    job_id = re.findall(r"^Job created: (job_\w+)$", printed, re.MULTILINE)
    assert len(job_id) == 1, printed
    assert "waits for an approval" in printed
    assert pickle.read_bytes().startswith(b"PK")
    report = json.loads((place / "report.json").read_text())
    assert report["passed"] is True
    assert report["failures"] == []

    in_tenant = {**environ, "AIHUB_TENANT": TENANT}
    register = ["--model-path", str(pickle), "--model-name", MODEL, "--stage", "Production"]
    printed = ok(call("register_model.py", *register, environ=in_tenant))
    assert f"Registered {MODEL} v1.0.0 (version 1)" in printed, "the file is that of the job's version"
    assert "waits for approval" in printed

    with hub.client(tenant=TENANT) as submitter:
        (approval,) = submitter.approvals.list(state="pending")
        with pytest.raises(ForbiddenError):
            submitter.approvals.decide(approval.id, "approve", reason="my own work")
    bob = hub.client_environ(hub.key_of("bob", "approver", tenant=TENANT))
    ok(call("aihub", "approve", approval.id, "--reason", "looks right", environ=bob))
    with hub.client(tenant=TENANT) as client:
        job = client.jobs.wait(job_id[0], timeout_s=60, through_approval=True)
        assert job.status == "completed"
        serving = {one["environment"]: one["version"] for one in client.models.get(MODEL).serving}
        assert serving == {"staging": 1, "production": 1}
        assert client.models.version(MODEL, SHA).version == 1

    update = ["--model-name", MODEL, "--version", SHA, "--status", "deployed"]
    printed = ok(call("update_registry.py", *update, environ=in_tenant))
    assert "v1.0.0 serves in production" in printed


def test_rollback_by_the_guides_curl(hub: RunningHub, call: Called, place: Path) -> None:
    """Two versions in production; the curl of the guide, which calls its JSON a form, goes back to the first."""
    model, key = "rolled", hub.admin_key
    generate_forecast_data(3000, seed=3).write_csv(place / "rolled.csv")
    data = ["--data", str(place / "rolled.csv"), "--wait", "--json"]
    with hub.client(hub.key_of("bob", "approver")) as bob:
        for trees in (20, 120):
            spec = place / "rolled.yaml"
            config = "{target: load, features: [temperature, humidity], backtest_folds: 0"
            spec.write_text(
                f"name: {model}\ntraining: {config}, hyperparameters: {{n_estimators: {trees}}}}}\n"
            )
            job = json.loads(
                ok(call("aihub", "jobs", "submit", str(spec), *data, environ=hub.client_environ()))
            )
            bob.approvals.decide(job["result"]["approval_id"], "approve", reason="fine")
            done = bob.jobs.wait(job["job_id"], timeout_s=60, through_approval=True)
            assert done.result is not None
            assert done.result["environment"] == "production"
        newest, first = bob.models.versions(model)

    versions = curl(hub, key, f'curl "http://api/models/{model}/versions"')
    assert [item["semantic"] for item in versions["items"]] == [newest.semantic, first.semantic]
    back = (
        f'curl -X POST "http://api/models/{model}/rollback" -d \'{{"target_version": "{first.semantic}"}}\''
    )
    done = curl(hub, key, back)
    assert (done["semantic"], done["action"]) == (first.semantic, "rollback")
    history = ok(call("aihub", "models", model, "--history", "--json", environ=hub.client_environ()))
    newest_first = [
        item for item in json.loads(history)["deployments"] if item["environment"] == "production"
    ]
    assert [item["action"] for item in newest_first] == ["rollback", "deploy", "deploy"]
    again = curl(hub, key, back, status=409)
    assert again["code"] == "conflict"


def test_two_runs_of_one_commit_and_a_run_started_again_double_nothing(
    hub: RunningHub, place: Path, call: Called
) -> None:
    """Two workflow runs of a commit at once; the first is cancelled after its deploy, and a person starts it again."""
    model, folder = "twice", place / "twice"
    folder.mkdir()
    (folder / "spec.yaml").write_text(
        "name: twice\ntraining: {target: load, features: [temperature, humidity], backtest_folds: 0,"
        " hyperparameters: {n_estimators: 120}}\n"
    )
    in_actions = {
        **hub.client_environ(),
        "AIHUB_TENANT": "twice",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_SHA": SHA,
        "GITHUB_RUN_ATTEMPT": "1",
    }
    runs = [{**in_actions, "GITHUB_RUN_ID": run} for run in ("901", "902")]
    data = folder / "data.csv"
    generate_forecast_data(3000, seed=3).write_csv(data)

    def train(number: int, environ: dict[str, str]) -> str:
        arguments = ["--tenant-id", "twice", "--model-type", "forecast", "--algorithm", "lgbm"]
        arguments += ["--spec", str(folder / "spec.yaml")]
        output = ["--data-path", str(data), "--output", str(folder / f"{number}.aihub")]
        done = call("create_training_job.py", *arguments, *output, environ=environ)
        return ok(done)

    def deploy(number: int, environ: dict[str, str]) -> str:
        arguments = ["--model-path", str(folder / f"{number}.aihub"), "--model-name", model]
        printed = ok(call("register_model.py", *arguments, "--stage", "Staging", environ=environ))
        update = ["--model-name", model, "--version", SHA, "--status", "staging"]
        return printed + ok(call("update_registry.py", *update, environ=environ))

    with ThreadPoolExecutor(2) as both:
        trained = list(both.map(train, (1, 2), runs))
        assert len({line for out in trained for line in re.findall(r"Job created: (job_\w+)", out)}) == 1
        assert sorted("its job is used" in out for out in trained) == [False, True]
        list(both.map(deploy, (1, 2), runs))

    again = {**runs[0], "GITHUB_RUN_ATTEMPT": "2"}
    assert "its job is used" in train(1, again)
    assert "v1.0.0 serves in staging" in deploy(1, again)
    with hub.client(tenant="twice") as client:
        assert len(list(client.jobs.list())) == 1
        assert len(list(client.models.versions(model))) == 1
        assert len(list(client.models.deployments(model, environment="staging"))) == 1

    scheduled = {**runs[0], "GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_ID": "903"}
    assert "its job is used" not in train(3, scheduled)
    with hub.client(tenant="twice") as client:
        assert len(list(client.jobs.list())) == 2


def test_deploying_tags_the_commit_of_the_version(
    hub: RunningHub, place: Path, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = place / "checkout"
    of_hub = {**hub.client_environ(), "AIHUB_TENANT": "tagging", "GIT_CONFIG_GLOBAL": "/dev/null"}
    environ = {name: value for name, value in of_hub.items() if not name.startswith("AIHUB_")}
    environ |= {"AIHUB_HOME": str(place / "home"), "AIHUB_MLFLOW_TRACKING_URI": "off"}

    def git(*arguments: str) -> str:
        named = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(
            ["git", *named, *arguments], cwd=checkout, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    checkout.mkdir()
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    commit = git("rev-parse", "HEAD")
    monkeypatch.chdir(checkout)
    rows = np.arange(400.0).reshape(200, 2)
    data = lightgbm.Dataset(rows, rows[:, 0], feature_name=["a", "b"])
    lightgbm.train({"verbose": -1, "num_threads": 1}, data, 3).save_model("model.txt")
    arguments = [
        "--model-path",
        str(checkout / "model.txt"),
        "--model-name",
        "tagged",
        "--stage",
        "Staging",
    ]
    done = call("register_model.py", *arguments, "--no-tag", environ={**environ, "GITHUB_SHA": commit})
    ok(done)
    assert "agged" not in done.stderr
    assert git("tag") == ""
    update = ["--model-name", "tagged", "--version", commit, "--status", "staging"]
    done = call("update_registry.py", *update, environ=environ)
    ok(done)
    assert f"Tagged {commit[:12]} as model/tagged/v1.0.0" in done.stderr
    assert git("rev-parse", "model/tagged/v1.0.0^{commit}") == commit
    by_hand = ["deploy", "tagged", "1", "--environment", "staging", "--reason", "again", "--json"]
    done = call("aihub", *by_hand, environ=environ)
    assert json.loads(ok(done))["version"] == 1
    assert "is tagged already" in done.stderr

    with hub.client() as client:
        client.tenants.create("tagging")
    arguments[-1] = "None"
    ok(call("register_model.py", *arguments, "--no-tag", environ={**of_hub, "GITHUB_SHA": SHA}))
    with hub.client(tenant="tagging") as client:
        client.models.deploy("tagged", 1, environment="staging", reason="first", override=True)
    done = call("aihub", *by_hand, environ=of_hub)
    assert json.loads(ok(done))["deployment"]["version"] == 1
    assert f"Not tagged: commit {SHA[:12]} is not in this checkout" in done.stderr


def curl(hub: RunningHub, key: str, command: str, *, status: int = 200) -> Any:
    """Run a curl command of the guide, with the hub's address and a key."""
    words = shlex.split(command.replace("http://api", hub.url))
    if shutil.which("curl"):
        extra = ["-s", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {key}"]
        done = subprocess.run(words + extra, capture_output=True, text=True, check=True, timeout=60)
        body, _, code = done.stdout.rpartition("\n")
    else:
        method = "POST" if "-d" in words else "GET"
        url = next(word for word in words if word.startswith("http"))
        headers = {"Authorization": f"Bearer {key}"}
        content = None
        if "-d" in words:
            # As curl calls whatever -d sends.
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            content = words[words.index("-d") + 1]
        response = httpx.request(method, url, headers=headers, content=content, timeout=60)
        body, code = response.text, str(response.status_code)
    assert int(code) == status, body
    return json.loads(body)


def test_the_guides_request_is_taken_as_it_is_written(hub: RunningHub) -> None:
    """The body of `create_job` in the guide, dates without a zone and no data named, by whoever sends it."""
    guide = {
        "tenant_id": "literal",
        "model_type": "forecast",
        "config": {
            "model_type": "forecast",
            "algorithm": "lgbm",
            "hyperparameters": {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 7},
            "training_start": "2024-01-01T00:00:00",
            "training_end": "2024-12-31T23:59:59",
            "features": ["temperature", "humidity"],
            "target": "load",
            "validation_split": 0.2,
        },
        "priority": "high",
    }
    headers = {"Authorization": f"Bearer {hub.admin_key}"}
    response = httpx.post(f"{hub.url}/ai/training/jobs", json=guide, headers=headers, timeout=30)
    assert response.status_code == 201, response.text
    job = response.json()
    assert job["job_id"].startswith("job_")
    with hub.client(tenant="literal") as client:
        assert client.jobs.get(job["job_id"]).priority == "high"
        client.jobs.wait(job["job_id"], timeout_s=60)


def test_exit_codes_are_those_of_run(hub: RunningHub, call: Called, place: Path) -> None:
    environ = hub.client_environ()
    generate_forecast_data(3000, seed=5).write_csv(place / "small.csv")
    poor = "name: poor\ntraining: {target: load, features: [humidity], hyperparameters: {n_estimators: 2}, backtest_folds: 0}\n"
    (place / "poor.yaml").write_text(poor)
    arguments = ["--tenant-id", "default", "--model-type", "forecast", "--algorithm", "lgbm"]
    small = ["--data-path", str(place / "small.csv")]
    spec = ["--spec", str(place / "poor.yaml"), "--report", str(place / "poor")]
    printed = ok(call("create_training_job.py", *arguments, *small, *spec, environ=environ), 1)
    assert "Gate failed: poor" in printed
    assert json.loads((place / "poor" / "report.json").read_text())["failures"]

    (place / "empty.csv").write_text("timestamp,temperature,humidity\n2024-01-01,1,2\n")
    wrong = ["--data-path", str(place / "empty.csv"), "--wait"]
    done = call("create_training_job.py", *arguments, *wrong, environ=environ)
    ok(done, 2)
    assert "load" in done.stderr
    nowhere = call("create_training_job.py", *arguments, "--data-path", "nowhere.csv", environ=environ)
    ok(nowhere, 2)
    unknown = [*arguments[:-1], "lgbmm", *small]
    assert "lgbm" in call("create_training_job.py", *unknown, environ=environ).stderr
    stranger = {**environ, "AIHUB_API_KEY": "hub_0123456789abcdef_" + "x" * 43}
    ok(call("create_training_job.py", *arguments, *small, environ=stranger), 2)
    away = {**environ, "AIHUB_URL": "http://127.0.0.1:9"}
    ok(call("create_training_job.py", *arguments, *small, environ=away), 3)
    assert call("update_registry.py", "--model-name", "x", environ=environ).returncode == 2


def test_steps_of_the_guide_name_flags_that_the_scripts_have(call: Called, hub: RunningHub) -> None:
    flags = {
        "generate_training_data.py": ["--model-type", "--samples", "--output"],
        "create_training_job.py": ["--tenant-id", "--model-type", "--algorithm", "--data-path", "--priority"],
        "register_model.py": ["--model-path", "--model-name", "--stage"],
        "update_registry.py": ["--model-name", "--version", "--status"],
    }
    for script, expected in flags.items():
        printed = ok(call(script, "--help", environ=hub.client_environ()))
        assert all(flag in printed for flag in expected), script
        assert len((ROOT / "scripts" / script).read_text().splitlines()) <= 80
