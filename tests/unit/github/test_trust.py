from __future__ import annotations

from typing import Any

import pytest

from aihub.errors import ConfigError
from aihub.github.oidc import Claims, check
from aihub.github.trust import TrustPolicy, choose
from aihub.types import Role
from github_side import AUDIENCE, NOW, WORKFLOW, claims

PRODUCTION: dict[str, Any] = {
    "name": "deploy",
    "repository_id": "42",
    "repository_owner_id": "7",
    "roles": ["trainer", "deployer"],
    "ref": "refs/heads/main",
    "job_workflow_ref": WORKFLOW,
    "environment": "production",
}


def policy(**changes: Any) -> TrustPolicy:
    return TrustPolicy(**{**PRODUCTION, **changes})


def job(**changes: Any) -> Claims:
    return check(claims(**changes), audience=AUDIENCE, now=NOW)


def test_the_job_that_is_meant_matches() -> None:
    assert choose([policy()], job()) == [policy()]
    assert policy().roles_for(job()) == {Role.TRAINER, Role.DEPLOYER}


@pytest.mark.parametrize(
    "changes",
    [
        # The name is the same, the repository is another one: it was deleted and its name registered anew.
        {"repository_id": "43"},
        {"repository_owner_id": "8"},
        {"ref": "refs/heads/main2"},
        {"ref": "refs/heads/Main"},
        {"ref": "refs/tags/main"},
        {"environment": "staging"},
        {"environment": "Production"},
        {"environment": None},
        {"job_workflow_ref": WORKFLOW.replace("main", "feature")},
        {"job_workflow_ref": WORKFLOW.replace("model-training", "other")},
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
    ],
)
def test_a_job_that_differs_in_one_thing_does_not_match(changes: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        choose([policy()], job(**changes))


def test_neither_sub_nor_a_name_decides_anything() -> None:
    assert choose(
        [policy()], job(sub="repo:evil/evil:ref:refs/heads/x", repository="renamed/too", actor="eve")
    )


def test_a_policy_without_environment_is_not_for_jobs_that_have_one() -> None:
    plain = policy(environment=None, roles=["trainer"])
    assert choose([plain], job(environment=None)) == [plain]
    with pytest.raises(LookupError, match="environment"):
        choose([plain], job())


def test_a_pull_request_gets_read_only_whatever_the_policy_says() -> None:
    generous = policy(event_names=["push", "pull_request"])
    asked = job(event_name="pull_request")
    assert choose([generous], asked) == [generous]
    assert generous.roles_for(asked) == {Role.VIEWER}


def test_policies_of_two_tenants_need_a_word_which_is_meant() -> None:
    both = [policy(), policy(tenant="north")]
    with pytest.raises(LookupError, match="several tenants"):
        choose(both, job())
    assert choose(both, job(), tenant="north") == [both[1]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"roles": ["approver"]}, "takes a person"),
        ({"roles": ["admin"]}, "takes a person"),
        ({"roles": []}, "roles"),
        ({"ref": None}, "exact --ref"),
        ({"job_workflow_ref": None}, "exact --ref"),
        ({"environment": None}, "--environment"),
        ({"ref": "refs/heads/*"}, "exactly"),
        ({"job_workflow_ref": "acme/load@main"}, "OWNER/REPO"),
        ({"repository_id": "acme/load"}, "repository_id"),
        ({"repository_owner_id": "07"}, "repository_owner_id"),
        ({"event_names": []}, "event_names"),
        ({"branch": "main"}, "unknown field"),
    ],
)
def test_a_policy_that_trusts_too_much_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        policy(**changes)
