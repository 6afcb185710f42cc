from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.delivery.policy import (
    ENVIRONMENTS,
    ApprovalRule,
    Ask,
    DeliveryPolicy,
    Deploy,
    Hold,
    Reject,
    Standing,
    TenantRules,
    approval_rule,
    next_step,
    parse_policy,
)
from aihub.errors import ConfigError, InputError
from aihub.types import Role

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
TENANT = TenantRules()
GOOD = Standing(gate_passed=True, was_staged=True, is_approved=True, has_champion=True)

approvals = st.just("automatic") | st.builds(
    lambda role, approvers, hours: {"role": role, "approvers": approvers, "expires_h": hours},
    st.sampled_from(["approver", "admin"]),
    st.integers(1, 10),
    st.floats(0.5, 2000),
)
rules_of_environment = st.builds(lambda approval: {"approval": approval}, approvals)
policies = st.builds(
    lambda staging, production: parse_policy(
        {"environments": {"production": production, **({"staging": staging} if staging else {})}}
    ),
    st.none() | rules_of_environment,
    rules_of_environment,
)
tenants = st.builds(
    lambda auto, fewest, hours, staging: TenantRules.model_validate(
        {"auto_deploy": auto, "min_approvals": fewest, "max_expires_h": hours, "require_staging": staging}
    ),
    st.lists(st.sampled_from(ENVIRONMENTS), unique=True),
    st.dictionaries(st.sampled_from(ENVIRONMENTS), st.integers(0, 10)),
    st.floats(1, 2000),
    st.booleans(),
)
standings = st.builds(
    Standing,
    gate_passed=st.sampled_from([True, False, None]),
    was_staged=st.booleans(),
    is_approved=st.booleans(),
    has_champion=st.booleans(),
)


def test_the_usual_policy_is_staging_by_itself_and_production_after_one_approver() -> None:
    policy = parse_policy({})
    passed = Standing(gate_passed=True)
    assert isinstance(next_step(policy, TENANT, "staging", passed, now=NOW), Deploy)
    assert isinstance(next_step(policy, TENANT, "production", passed, now=NOW), Hold)
    staged = Standing(gate_passed=True, was_staged=True)
    assert next_step(policy, TENANT, "production", staged, now=NOW) == Ask(
        ApprovalRule(role="approver", approvers=1, expires_h=72)
    )
    assert isinstance(next_step(policy, TENANT, "production", GOOD, now=NOW), Deploy)


@given(policies, tenants, st.sampled_from(ENVIRONMENTS), standings)
def test_nothing_goes_without_gate_order_and_people(
    policy: DeliveryPolicy, tenant: TenantRules, environment: str, standing: Standing
) -> None:
    step = next_step(policy, tenant, environment, standing, now=NOW)
    if standing.gate_passed is not True:
        assert isinstance(step, Reject)
    if isinstance(step, Deploy):
        assert policy.rule(environment) is not None
        assert standing.is_approved or approval_rule(policy, tenant, environment) is None
        if environment == "production" and (policy.rule("staging") or tenant.require_staging):
            assert standing.was_staged
    if isinstance(step, Ask):
        assert not standing.is_approved


@given(policies, tenants, st.sampled_from(ENVIRONMENTS))
def test_a_policy_is_never_laxer_than_the_tenant(
    policy: DeliveryPolicy, tenant: TenantRules, environment: str
) -> None:
    asked = approval_rule(policy, tenant, environment)
    fewest = tenant.min_approvals.get(environment, 0)  # type: ignore[call-overload]
    own = policy.rule(environment)
    if asked is None:
        assert environment in tenant.auto_deploy
        assert fewest == 0
        assert own is None or own.approval == "automatic"
        return
    assert asked.approvers >= fewest
    assert asked.expires_h <= tenant.max_expires_h
    if own is not None and isinstance(own.approval, ApprovalRule):
        assert asked.approvers >= own.approval.approvers
        assert asked.expires_h <= own.approval.expires_h
        assert asked.role == own.approval.role


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"enviroments": {}}, "Did you mean 'environments'"),
        ({"environments": {"production": {"approval": {"approver": 2}}}}, "Did you mean 'approvers'"),
        ({"environments": {"productoin": {}}}, "Did you mean 'production'"),
        ({"environments": {}}, "no environment is given"),
        ({"environments": {"production": {"approval": "sometimes"}}}, "give 'automatic'"),
        ({"environments": {"production": {"approval": {"approvers": 0}}}}, "greater than or equal"),
        ({"environments": {"production": {"approval": {"approvers": True}}}}, "valid integer"),
        ({"environments": {"production": {"approval": {"expires_h": float("nan")}}}}, "finite"),
        ({"strategy": {"kind": "canari"}}, "'canary'"),
        ({"strategy": {"kind": "direct", "steps": [{"share": 0.1}]}}, "belong to a canary"),
        ({"strategy": {"kind": "canary", "steps": [{"share": 0.2}, {"share": 0.1}]}}, "have to grow"),
        ({"strategy": {"kind": "canary", "limits": {"step_up": 1.5}}}, "below 'step_up'"),
        ({"freeze": [{"reason": "why not"}]}, "never end"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_next_step(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        parse_policy(section)
    assert str(raised.value).startswith("policy: ")
    assert str(raised.value.field).startswith("policy")


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'production'"):
        next_step(parse_policy({}), TENANT, "prodution", GOOD, now=NOW)


def test_whose_rule_asks_for_an_approval_is_told() -> None:
    by_itself = parse_policy({"environments": {"production": {"approval": "automatic"}}})
    floor = next_step(
        by_itself, TenantRules(), "production", Standing(gate_passed=True, was_staged=True), now=NOW
    )
    assert isinstance(floor, Ask)
    assert "auto_deploy" in floor.because
    asking = parse_policy({"environments": {"production": {"approval": {"role": "admin"}}}})
    own = next_step(asking, TenantRules(), "production", Standing(gate_passed=True, was_staged=True), now=NOW)
    assert isinstance(own, Ask)
    assert not own.because


def test_a_policy_without_staging_goes_to_production_at_once_unless_the_tenant_objects() -> None:
    policy = parse_policy({"environments": {"production": {}}})
    tenant = TenantRules(auto_deploy=["production"])
    passed = Standing(gate_passed=True)
    assert isinstance(next_step(policy, tenant, "production", passed, now=NOW), Deploy)
    assert isinstance(next_step(policy, tenant, "staging", passed, now=NOW), Reject)
    strict = TenantRules(auto_deploy=["production"], require_staging=True)
    assert isinstance(next_step(policy, strict, "production", passed, now=NOW), Reject)


@pytest.mark.parametrize("whose", ["policy", "environment", "tenant"])
def test_in_a_freeze_people_are_asked_and_deploying_waits(whose: str) -> None:
    freeze = [{"weekdays": ["wed"], "reason": "release of the billing"}]
    policy = parse_policy(
        {
            "freeze": freeze if whose == "policy" else [],
            "environments": {
                "production": {
                    "approval": {"approvers": 1},
                    "freeze": freeze if whose == "environment" else [],
                }
            },
        }
    )
    tenant = TenantRules.model_validate({"freeze": freeze if whose == "tenant" else []})
    waiting = Standing(gate_passed=True)
    assert isinstance(next_step(policy, tenant, "production", waiting, now=NOW), Ask)
    held = next_step(policy, tenant, "production", GOOD, now=NOW)
    assert isinstance(held, Hold)
    assert held.until == datetime(2026, 11, 26, tzinfo=UTC)
    assert "release of the billing" in held.reason
    assert isinstance(next_step(policy, tenant, "production", GOOD, now=NOW + timedelta(days=1)), Deploy)


def test_the_first_version_has_nothing_to_be_compared_with_and_takes_over_at_once() -> None:
    policy = parse_policy({"strategy": {"kind": "canary"}})
    alone = Standing(gate_passed=True, was_staged=True, is_approved=True)
    first = next_step(policy, TENANT, "production", alone, now=NOW)
    later = next_step(policy, TENANT, "production", GOOD, now=NOW)
    assert isinstance(first, Deploy)
    assert isinstance(later, Deploy)
    assert (first.strategy.kind, later.strategy.kind) == ("direct", "canary")
    assert policy.strategy_in("staging").kind == "direct"


def test_an_admin_may_decide_where_an_approver_may_and_nobody_else() -> None:
    assert [role for role in Role if ApprovalRule().admits(role)] == [Role.APPROVER, Role.ADMIN]
    assert [role for role in Role if ApprovalRule(role="admin").admits(role)] == [Role.ADMIN]
