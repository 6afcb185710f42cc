from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from aihub.client import Client, Patience, commit
from aihub.errors import UnavailableError
from scripted_hub import Answer, serving

if TYPE_CHECKING:
    from pathlib import Path

    from aihub.client import Job
    from scripted_hub import StandIn

QUICK = Patience(retries=3, first_s=0.01)
STREAM = {"Content-Type": "text/event-stream"}


def state(status: str, **more: object) -> Answer:
    return Answer(200, {"job_id": "job_1", "status": status, **more})


def test_wait_tells_every_change_once(stand_in: StandIn) -> None:
    steps = [
        state("queued"),
        state("running", progress=0.5),
        state("running", progress=0.5),
        state("completed"),
    ]
    stand_in.answers = list(steps)
    seen: list[Job] = []
    with Client(stand_in.url, api_key="") as client:
        assert client.jobs.wait("job_1", on_progress=seen.append).is_over
    assert [(job.status, job.progress) for job in seen] == [("queued", 0), ("running", 0.5), ("completed", 0)]


def test_wait_ends_where_a_person_is_asked_unless_told_otherwise(stand_in: StandIn) -> None:
    with Client(stand_in.url, api_key="") as client:
        stand_in.answers = [state("running"), state("waiting", gate_passed=True)]
        assert client.jobs.wait("job_1").is_waiting
        stand_in.answers = [state("waiting"), state("completed")]
        assert client.jobs.wait("job_1", through_approval=True).is_over


def test_wait_that_is_too_long_says_that_the_job_goes_on(stand_in: StandIn) -> None:
    stand_in.answers = [state("running")] * 50
    with Client(stand_in.url, api_key="") as client, pytest.raises(UnavailableError, match="it goes on"):
        client.jobs.wait("job_1", timeout_s=0.3)


def test_live_log_is_taken_up_where_it_broke(stand_in: StandIn) -> None:
    first = (
        b'id: 1\ndata: {"message": "reading"}\n\nid: 2\ndata: {"message": "training"}\n\nid: 3\ndata: {"mess'
    )
    second = b': alive\n\nid: 3\ndata: {"message": "done", "level": "info"}\n\nevent: end\ndata: {}\n\n'
    stand_in.answers = [
        Answer(200, first, {**STREAM, "Content-Length": "1000"}, cut=len(first)),
        Answer(200, second, STREAM),
    ]
    with Client(stand_in.url, api_key="", patience=QUICK) as client:
        lines = list(client.jobs.follow("job_1"))
    assert [(line.id, line.message) for line in lines] == [("1", "reading"), ("2", "training"), ("3", "done")]
    assert "last-event-id" not in stand_in.asked[0].headers
    assert stand_in.asked[1].headers["last-event-id"] == "2"


def test_live_log_whose_hub_stays_away_is_given_up() -> None:
    with serving() as state:
        state.answers = [Answer(200, b'id: 1\ndata: {"message": "reading"}\n\n', STREAM), *[None] * 9]
        with Client(state.url, api_key="", patience=QUICK) as client:
            lines = client.jobs.follow("job_1")
            assert next(lines).message == "reading"
            with pytest.raises(UnavailableError):
                next(lines)


def test_lines_of_a_log_that_still_grows_come_to_an_end(stand_in: StandIn) -> None:
    line = {"id": 7, "message": "reading"}
    stand_in.answers = [
        Answer(200, {"items": [line], "next": "c7"}),
        Answer(200, {"items": [], "next": "c7"}),
    ]
    with Client(stand_in.url, api_key="") as client:
        assert [line.id for line in client.jobs.logs("job_1")] == ["7"]


def test_commit_is_that_of_the_run_else_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commit.current({"GITHUB_SHA": "A" * 40}) == "a" * 40
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit.current({}) is None
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    assert len(commit.current({}) or "") == 40
