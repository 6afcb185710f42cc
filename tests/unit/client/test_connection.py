from __future__ import annotations

import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from aihub.client import Client, Patience
from aihub.errors import (
    AIHubError,
    ConfigError,
    ConflictError,
    DataError,
    ForbiddenError,
    InputError,
    NotFoundError,
    TooManyError,
    UnauthorizedError,
    UnavailableError,
)
from scripted_hub import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripted_hub import StandIn

KEY = "hub_0123456789abcdef_" + "s" * 43
JOB = {"job_id": "job_1", "status": "queued"}
QUICK = Patience(retries=4, first_s=0.01, longest_s=0.05)


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Client]:
    with Client(stand_in.url, api_key=KEY, tenant="", patience=QUICK) as client:
        yield client


def submit(client: Client, **more: Any) -> Any:
    return client.jobs.submit(config={"target": "load"}, git_commit="c" * 40, **more)


@pytest.mark.parametrize(
    "trouble",
    [
        [Answer(503, {})],
        [Answer(429, {}, {"Retry-After": "0"})],
        [Answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}), Answer(504, {})],
        [None],
        [Answer(201, JOB, cut=5)],
        [None, Answer(503, {}), None, Answer(429, {})],
    ],
    ids=["busy", "limit", "proxy", "hangs up", "breaks off", "all of it"],
)
def test_post_is_repeated_as_the_same_request(
    client: Client, stand_in: StandIn, trouble: list[Answer | None]
) -> None:
    stand_in.answers = [*trouble, Answer(201, JOB)]
    assert submit(client).job_id == "job_1"
    assert len(stand_in.asked) == len(trouble) + 1
    assert len({asked.headers["idempotency-key"] for asked in stand_in.asked}) == 1
    assert len({asked.body for asked in stand_in.asked}) == 1


def test_two_calls_have_two_keys_and_a_key_of_ones_own_is_sent(client: Client, stand_in: StandIn) -> None:
    stand_in.answers = [Answer(201, JOB)] * 3
    submit(client)
    submit(client)
    submit(client, key="mine")
    keys = [asked.headers["idempotency-key"] for asked in stand_in.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_tries_are_bounded_and_the_last_refusal_is_told(client: Client, stand_in: StandIn) -> None:
    problem = {"code": "too_many", "detail": "tenant 'grid' has 100 jobs in its queue"}
    stand_in.answers = [Answer(429, problem, {"Retry-After": "0"})] * 20
    with pytest.raises(TooManyError, match="100 jobs"):
        submit(client)
    assert len(stand_in.asked) == 1 + QUICK.retries


def test_retry_after_is_waited_for(client: Client, stand_in: StandIn) -> None:
    stand_in.answers = [Answer(503, {}, {"Retry-After": "0.3"}), Answer(201, JOB)]
    started = time.monotonic()
    submit(client)
    assert time.monotonic() - started >= 0.3


def test_pause_that_is_too_long_is_not_begun(stand_in: StandIn) -> None:
    stand_in.answers = [Answer(429, {}, {"Retry-After": "3600"})]
    started = time.monotonic()
    with Client(stand_in.url, api_key="") as client, pytest.raises(TooManyError) as refused:
        submit(client)
    assert time.monotonic() - started < 5
    assert refused.value.retry_after_s == 3600


def test_no_hub_is_told_with_the_next_step() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(url, api_key="", patience=QUICK) as client, pytest.raises(UnavailableError, match="aihub up"):
        client.jobs.get("job_1")


@pytest.mark.parametrize(
    ("status", "problem", "kind"),
    [
        (422, {"code": "bad_config", "field": "config.algorithm"}, ConfigError),
        (422, {"code": "bad_data", "field": "load"}, DataError),
        (422, {"code": "bad_input"}, InputError),
        (404, {"code": "not_found"}, NotFoundError),
        (401, {"code": "unauthorized"}, UnauthorizedError),
        (403, {"code": "forbidden"}, ForbiddenError),
        (409, {"code": "conflict"}, ConflictError),
        (413, {"code": "too_large"}, InputError),
        (418, {"code": "of a newer hub"}, InputError),
        (500, {"code": "internal", "request_id": "req_7"}, AIHubError),
    ],
)
def test_problem_becomes_the_error_that_the_hub_raised(
    client: Client, stand_in: StandIn, status: int, problem: dict[str, Any], kind: type[AIHubError]
) -> None:
    detail = "no algorithm 'lgbmm'. Did you mean 'lgbm'?"
    stand_in.answers = [
        Answer(status, {**problem, "detail": detail}, {"Content-Type": "application/problem+json"})
    ]
    with pytest.raises(AIHubError) as refused:
        submit(client)
    assert type(refused.value) is kind
    assert str(refused.value).startswith(detail)
    assert ("req_7" in str(refused.value)) == (status == 500)
    assert len(stand_in.asked) == 1, "a refusal is not repeated"
    if isinstance(refused.value, ConfigError):
        assert refused.value.field == "config.algorithm"
    if isinstance(refused.value, DataError):
        assert refused.value.column == "load"


def test_what_is_no_hub_is_told(client: Client, stand_in: StandIn) -> None:
    stand_in.answers = [
        Answer(200, b"<html>", {"Content-Type": "text/html"}),
        Answer(404, b"<html>", {"Content-Type": "text/html"}),
        Answer(302, b"", {"Location": "http://elsewhere.example/"}),
        Answer(200, {"id": 3}),
    ]
    with pytest.raises(AIHubError, match="AIHUB_URL"):
        client.jobs.get("job_1")
    with pytest.raises(NotFoundError, match="AIHUB_URL"):
        client.jobs.get("job_1")
    with pytest.raises(AIHubError, match="redirects"):
        client.jobs.get("job_1")
    with pytest.raises(AIHubError, match="job_id"):
        client.jobs.get("job_1")


def test_missing_key_is_told_with_the_variable(stand_in: StandIn) -> None:
    stand_in.answers = [Answer(401, {"code": "unauthorized", "detail": "no credential"})]
    with Client(stand_in.url, api_key="") as client, pytest.raises(UnauthorizedError, match="AIHUB_API_KEY"):
        client.jobs.get("job_1")


def test_key_and_tenant_are_sent_and_never_logged(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.answers = [None, Answer(200, JOB)]
    with (
        caplog.at_level(logging.DEBUG),
        Client(stand_in.url, api_key=KEY, tenant="grid", patience=QUICK) as client,
    ):
        client.jobs.get("job_1")
    assert stand_in.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    assert stand_in.asked[-1].headers["x-aihub-tenant"] == "grid"
    assert KEY not in caplog.text


def test_list_goes_through_its_pages_and_stops_at_the_limit(client: Client, stand_in: StandIn) -> None:
    jobs = [{"job_id": f"job_{i}", "status": "queued"} for i in range(5)]
    pages = [Answer(200, {"items": jobs[:3], "next": "c1"}), Answer(200, {"items": jobs[3:], "next": None})]
    stand_in.answers = [*pages, *pages]
    assert [job.job_id for job in client.jobs.list()] == [f"job_{i}" for i in range(5)]
    assert "cursor=c1" in stand_in.asked[1].path
    assert len(list(client.jobs.list(limit=4, status="queued"))) == 4
    assert "limit=4&status=queued" in stand_in.asked[2].path
    assert "limit=1&cursor=c1&status=queued" in stand_in.asked[3].path


def test_body_has_what_was_given(client: Client, stand_in: StandIn) -> None:
    stand_in.answers = [Answer(201, JOB)]
    submit(client, tenant_id="grid", model_type="anomaly", priority="high", dataset_id="ds", name="odd")
    assert json.loads(stand_in.asked[0].body) == {
        "tenant_id": "grid",
        "model_type": "anomaly",
        "config": {"target": "load"},
        "priority": "high",
        "data": {"dataset_id": "ds"},
        "git_commit": "c" * 40,
        "name": "odd",
    }


def test_names_cannot_leave_their_place_in_the_path(client: Client, stand_in: StandIn) -> None:
    stand_in.answers = [Answer(404, {"code": "not_found", "detail": "no"})]
    with pytest.raises(NotFoundError):
        client.models.version("../keys", "1?x=2")
    assert stand_in.asked[0].path == "/models/..%2Fkeys/versions/1%3Fx%3D2"
