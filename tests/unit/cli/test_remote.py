"""What commands make of a hub's answers; the hub is a server that answers what the test says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aihub.cli import main
from scripted_hub import Answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripted_hub import StandIn

    Run = Callable[..., tuple[int, str, str]]

JOB = {
    "job_id": "job_1",
    "status": "completed",
    "model": "load",
    "priority": "high",
    "submitted_by": "ci",
    "created_at": "2026-03-02T08:30:00+00:00",
    "gate_passed": True,
    "result": {"model": "load", "version": 3, "semantic": "v1.2.0"},
    "steps": [
        {"name": "train", "status": "done", "duration_s": 2.5, "note": "mae 38.5"},
        {"name": "validate", "status": "done", "duration_s": 1.0, "note": "passed"},
    ],
}
APPROVAL = {
    "id": "apr_1",
    "model": "load",
    "semantic": "v1.2.0",
    "environment": "production",
    "state": "pending",
    "requested_by": "ci",
    "expires_at": "2026-03-05T08:30:00+00:00",
}
MODEL = {
    "name": "load",
    "created_at": "2026-03-02T08:30:00Z",
    "versions": 3,
    "serving": [{"environment": "production", "version": 3, "semantic": "v1.2.0"}],
}
VERSION = {
    "model": "load",
    "version": 3,
    "semantic": "v1.2.0",
    "status": "candidate",
    "digest": "d" * 64,
    "git_commit": "c" * 40,
    "metrics": {"mae": 38.5},
    "created_by": "ci",
    "created_at": "2026-03-02T08:30:00Z",
}
DEPLOYMENT = {
    "model": "load",
    "version": 2,
    "semantic": "v1.1.0",
    "environment": "production",
    "sequence": 4,
    "action": "rollback",
    "actor": "bob",
    "reason": "odd on Sundays",
    "started_at": "2026-03-02T08:30:00Z",
}


def page(*items: Any) -> Answer:
    return Answer(200, {"items": list(items), "next": None})


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with serving() as state:
        monkeypatch.setenv("AIHUB_URL", state.url)
        monkeypatch.setenv("AIHUB_API_KEY", "hub_0123456789abcdef_" + "s" * 43)
        yield state


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_a_hub_is_asked_for_the_model_that_serves_there(stand_in: StandIn, run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "time;wind;sky;more\n2026-03-02 08:00;1,5;rain;1\n2026-03-02 09:00;;sun;2\n"
    )
    columns = [
        {"name": "time", "role": "timestamp", "type": "string"},
        {"name": "wind", "role": "number", "type": "number"},
        {"name": "sky", "role": "category", "type": "string"},
    ]
    rows = [
        {"time": "2026-03-02 08:00", "wind": 1.5, "sky": "rain"},
        {"time": "2026-03-02 09:00", "wind": None, "sky": "sun"},
    ]
    said = Answer(200, {"model": "load", "ids": ["p_1", "p_2"], "prediction": [7.5, 8], "level": 0.9})
    for kind, more, asked in [
        ("forecast/1", [], {"horizon": None, "future": rows}),
        ("forecast/1", ["--horizon", "2"], {"horizon": 2, "future": rows}),
        ("anomaly/1", [], {"records": rows}),
    ]:
        stand_in.answers = [Answer(200, {"kind": kind, "columns": columns}), said]
        code, out, _ = run("predict", "load", "--data", str(tmp_path / "rows.csv"), "--json", *more)
        assert (code, json.loads(out)["rows"]) == (0, [{"prediction": 7.5}, {"prediction": 8.0}])
        assert json.loads(stand_in.asked[-1].body) == asked
    stand_in.answers = [Answer(200, {"kind": "anomaly/1", "columns": columns})]
    assert "pass them with --data" in run("predict", "load")[2]
    assert "leave --version out" in run("predict", "load", "--version", "2")[2]


def test_a_model_from_elsewhere_is_registered_with_what_its_file_does_not_say(
    stand_in: StandIn, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "model.txt").write_text("tree")
    stand_in.answers = [Answer(201, VERSION), Answer(201, VERSION)]
    asked = ["register", "load", str(tmp_path / "model.txt"), "--target", "kw", "--model-type", "anomaly"]
    assert run(*asked)[:2] == (
        0,
        "Registered load v1.2.0 (version 3)\nNext: aihub jobs validate load 3 --data FILE\n",
    )
    assert "target=kw" in stand_in.asked[0].path
    assert "model_type=anomaly" in stand_in.asked[0].path
    assert stand_in.asked[0].body == b"tree"
    code, out, _ = run(*asked, "--json")
    assert (code, json.loads(out)["version"]) == (0, 3)
    assert run("register", "load", str(tmp_path / "nowhere"))[0] == 2


@pytest.mark.parametrize(
    ("answers", "arguments", "shown"),
    [
        (
            [page(JOB)],
            ["jobs", "list", "--status", "completed"],
            ["job_1", "passed", "high", "2026-03-02 08:30"],
        ),
        ([page()], ["jobs", "list"], ["No job yet"]),
        (
            [Answer(200, JOB)],
            ["jobs", "show", "job_1"],
            ["train", "mae 38.5", "Gate passed: load v1.2.0 is a candidate."],
        ),
        ([Answer(200, {**JOB, "status": "cancelled"})], ["jobs", "cancel", "job_1"], ["job_1: cancelled"]),
        ([Answer(201, {**JOB, "job_id": "job_2"})], ["jobs", "retry", "job_1"], ["job_2"]),
        (
            [page({"id": 1, "message": "10,008 rows", "step": "read data", "at": "2026-03-02T08:30:01Z"})],
            ["jobs", "logs", "job_1"],
            ["08:30:01 info    read data: 10,008 rows"],
        ),
        ([page(APPROVAL)], ["approvals"], ["apr_1", "v1.2.0", "pending", "2026-03-05 08:30"]),
        ([page()], ["approvals"], ["Nothing waits"]),
        (
            [Answer(200, {**APPROVAL, "state": "approved"})],
            ["approve", "apr_1", "--reason", "fine"],
            ["apr_1: approved (load v1.2.0 for production)"],
        ),
        (
            [Answer(200, {**APPROVAL, "approvers": 2, "decisions": [{"decision": "approve"}]})],
            ["approve", "apr_1", "--reason", "fine"],
            ["apr_1: pending, 1 of 2 have agreed (load v1.2.0 for production)"],
        ),
        (
            [Answer(200, {**APPROVAL, "state": "rejected"})],
            ["reject", "apr_1", "--reason", "no"],
            ["rejected"],
        ),
        ([page(MODEL)], ["models"], ["load", "v1.2.0"]),
        ([page()], ["models"], ["No model yet"]),
        ([Answer(200, MODEL), page(VERSION)], ["models", "load"], ["38.50", "cccccccccc", "production"]),
        ([page(DEPLOYMENT)], ["models", "load", "--history"], ["rollback", "odd on Sundays", "bob"]),
        (
            [Answer(200, DEPLOYMENT)],
            ["rollback", "load", "--reason", "odd"],
            ["load v1.1.0 (version 2) serves in production"],
        ),
        (
            [Answer(202, {"status": "waiting", "approval": APPROVAL, "deployment": None})],
            ["deploy", "load", "3", "--reason", "better"],
            ["waits for approval apr_1", "aihub approve apr_1"],
        ),
        (
            [
                Answer(201, {"status": "deployed", "approval": None, "deployment": DEPLOYMENT}),
                Answer(200, VERSION),  # whose commit is tagged where it is checked out
            ],
            ["deploy", "load", "2", "--reason", "better"],
            ["load 2: v1.1.0 serves in production"],
        ),
        (
            [Answer(201, {"status": "rolling_out", "reason": "10 % of the traffic"})],
            ["deploy", "load", "2", "--reason", "better"],
            ["load 2: rolling out: 10 % of the traffic"],
        ),
    ],
)
def test_people_read_it(
    run: Run, stand_in: StandIn, answers: list[Answer], arguments: list[str], shown: list[str]
) -> None:
    stand_in.answers = [*answers, *answers]
    code, out, err = run(*arguments)
    assert code == 0, err
    assert all(text in out for text in shown), out
    machine = run(*arguments, "--json")
    assert machine[0] == 0
    if machine[1]:
        json.loads(machine[1])


@pytest.mark.parametrize(
    ("change", "code", "shown"),
    [
        ({}, 0, "Gate passed"),
        ({"gate_passed": False}, 1, "rejected"),
        ({"result": {"semantic": "v1.2.0", "environment": "production"}}, 0, "v1.2.0 serves in production"),
        (
            {"status": "queued", "result": {"delivery": "held", "reason": "frozen until Monday"}},
            0,
            "frozen until Monday",
        ),
        ({"result": {"semantic": "v1.2.0", "delivery": "rolling_out"}}, 0, "v1.2.0 runs beside the champion"),
        ({"status": "waiting", "result": {"approval_id": "apr_1"}}, 0, "aihub approve apr_1"),
        (
            {"status": "failed", "gate_passed": None, "error": {"code": "bad_data", "message": "no 'load'"}},
            2,
            "load",
        ),
        ({"status": "failed", "gate_passed": None, "error": {"code": "internal", "message": "oh"}}, 3, "oh"),
        # A column may be called so, and in GitHub Actions the beginning of a line is a command.
        (
            {
                "status": "failed",
                "gate_passed": None,
                "error": {"code": "x", "message": "no \x1b[2J\n::error::y"},
            },
            3,
            "no  [2J ::error::y",
        ),
        ({"status": "cancelled", "gate_passed": None}, 130, "cancelled"),
    ],
)
def test_exit_code_is_the_verdict(
    run: Run, stand_in: StandIn, change: dict[str, Any], code: int, shown: str
) -> None:
    stand_in.answers = [Answer(200, {**JOB, **change})]
    done = run("jobs", "watch", "job_1")
    assert done[0] == code
    assert shown in done[1] + done[2]
    assert "train: mae 38.5 (2.5 s)" in done[1]


def test_hub_that_is_away_is_three_and_what_it_refuses_two(
    run: Run, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.answers = [Answer(409, {"code": "conflict", "detail": "decided already by bob"})]
    assert run("approve", "apr_1", "--reason", "fine")[::2] == (2, "error: decided already by bob\n")
    monkeypatch.setenv("AIHUB_URL", "http://127.0.0.1:9")
    code, _, err = run("jobs", "list")
    assert code == 3
    assert "aihub up" in err


def test_submit_uploads_and_sends_the_whole_spec(run: Run, stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("timestamp,load\n2024-01-01,1\n")
    (tmp_path / "spec.yaml").write_text(
        "name: load\ntraining: {target: load, hyperparameters: {n_estimators: 5}}\n"
        "validation: {thresholds: {mae: {max: 40}}}\npolicy: {environments: {production: {approval: automatic}}}\n"
    )
    stand_in.answers = [Answer(200, {"dataset_id": "d" * 64}), Answer(201, {**JOB, "status": "queued"})]
    code, out, err = run("jobs", "submit", str(tmp_path / "spec.yaml"), "--data", str(tmp_path / "load.csv"))
    assert (code, out) == (0, "Job created: job_1\n"), err
    sent = json.loads(stand_in.asked[-1].body)
    assert sent["config"] == {"target": "load", "hyperparameters": {"n_estimators": 5}}
    assert sent["name"] == "load"
    assert sent["validation"] == {"thresholds": {"mae": {"max": 40}}}
    assert sent["policy"] == {"environments": {"production": {"approval": "automatic"}}}
    assert sent["data"] == {"dataset_id": "d" * 64}


def test_local_commands_stay_local_without_a_hub(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIHUB_HOME", str(tmp_path))
    monkeypatch.setenv("AIHUB_URL", "")
    assert "aihub run SPEC" in run("models")[1]


def in_actions(monkeypatch: pytest.MonkeyPatch, attempt: str = "1") -> None:
    given = {"ACTIONS": "true", "EVENT_NAME": "push", "SHA": "a" * 40, "RUN_ID": "1", "RUN_ATTEMPT": attempt}
    for name, value in given.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)


REPLAYED = {"Idempotency-Replayed": "true"}


def test_a_failed_job_of_the_commit_is_asked_for_again_where_a_person_starts_the_run_again(
    stand_in: StandIn, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, data = tmp_path / "load.yaml", tmp_path / "load.csv"
    spec.write_text("name: load\ntraining: {target: load}\n")
    data.write_text("timestamp,load\n2024-01-01,1\n")
    dataset = Answer(200, {"dataset_id": "d" * 64})
    old = Answer(201, {"job_id": "job_1", "status": "queued"}, REPLAYED)
    failed = Answer(200, {**JOB, "status": "failed", "gate_passed": None, "result": None})
    in_actions(monkeypatch)
    stand_in.answers = [dataset, old, failed]
    code, out, _ = run("jobs", "submit", str(spec), "--data", str(data))
    assert code == 0
    assert "its job is used" in out
    key = stand_in.asked[1].headers["idempotency-key"]
    assert key.startswith(f"github-commit-{'a' * 40}")

    in_actions(monkeypatch, attempt="2")
    again = Answer(201, {"job_id": "job_2", "status": "queued"})
    stand_in.answers = [dataset, old, failed, again, Answer(200, {**JOB, "job_id": "job_2"})]
    code, out, _ = run("jobs", "submit", str(spec), "--data", str(data))
    assert "Job created: job_2" in out
    assert stand_in.asked[4].headers["idempotency-key"] == key
    assert stand_in.asked[6].path.endswith("/job_1/retry")


def test_a_repeated_request_for_a_deployment_says_how_things_stand_now(
    stand_in: StandIn, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_actions(monkeypatch)
    waiting = Answer(202, {"status": "waiting", "approval": APPROVAL}, REPLAYED)
    stand_in.answers = [waiting, Answer(200, {**APPROVAL, "state": "approved"})]
    code, out, _ = run("deploy", "load", "3", "--reason", "better")
    assert code == 0
    assert "approval apr_1 was approved (asked for before" in out


def test_of_several_versions_of_a_commit_the_newest_that_passed_is_deployed(
    stand_in: StandIn, run: Run
) -> None:
    newest = {**VERSION, "version": 5, "status": "rejected"}
    stand_in.answers = [
        page(newest, {**VERSION, "version": 4}, VERSION),
        Answer(202, {"status": "waiting", "approval": APPROVAL}),
    ]
    code, _, err = run("deploy", "load", "c" * 40, "--reason", "weekly")
    assert code == 0, err
    assert json.loads(stand_in.asked[1].body)["version"] == "4"
