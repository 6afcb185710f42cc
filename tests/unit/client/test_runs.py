from __future__ import annotations

import pytest

from aihub.client.runs import attempt, key_of_run

PUSH = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_SHA": "a" * 40,
    "GITHUB_RUN_ID": "1",
    "GITHUB_RUN_ATTEMPT": "1",
}


def test_every_run_of_a_commit_has_one_key_for_one_request() -> None:
    first = key_of_run("job", {"model": "load", "trees": 3}, environ=PUSH)
    assert first == key_of_run(
        "job",
        {"trees": 3, "model": "load"},
        environ={**PUSH, "GITHUB_RUN_ID": "2", "GITHUB_RUN_ATTEMPT": "3"},
    )
    assert first is not None
    assert first.startswith(f"github-commit-{'a' * 40}-")
    assert len(first) <= 128
    assert first != key_of_run("job", {"model": "load", "trees": 4}, environ=PUSH)
    assert first != key_of_run("job", {"model": "load", "trees": 3}, environ={**PUSH, "GITHUB_SHA": "b" * 40})


@pytest.mark.parametrize("event", ["schedule", "workflow_dispatch", "repository_dispatch"])
def test_what_is_asked_for_anew_has_a_key_for_every_attempt(event: str) -> None:
    run = {**PUSH, "GITHUB_EVENT_NAME": event}
    keys = {
        key_of_run("job", environ=run),
        key_of_run("job", environ={**run, "GITHUB_RUN_ID": "2"}),
        key_of_run("job", environ={**run, "GITHUB_RUN_ATTEMPT": "2"}),
    }
    assert len(keys) == 3
    assert key_of_run("job", environ=run) == key_of_run("job", environ={**run, "GITHUB_SHA": "b" * 40})


def test_outside_of_a_workflow_there_is_none() -> None:
    assert key_of_run("job", environ={"GITHUB_SHA": "a" * 40, "GITHUB_EVENT_NAME": "push"}) is None
    assert key_of_run("job", environ={"GITHUB_ACTIONS": "true"}) is None
    assert attempt({}) == attempt({"GITHUB_RUN_ATTEMPT": "x"}) == 1
    assert attempt({"GITHUB_RUN_ATTEMPT": "3"}) == 3
