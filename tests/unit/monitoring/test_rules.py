from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aihub.errors import ConfigError
from aihub.monitoring.rules import Facts, State, Target, betting_wealth, decide
from aihub.monitoring.watch_policy import Action, WatchPolicy, WatchRule

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIX = timedelta(hours=6)


def facts(mae: float = 10.0, **more: Any) -> Facts:
    given: dict[str, Any] = {
        "version": 2,
        "sequence": 2,
        "deployed_at": NOW - timedelta(days=20),
        "promised": {"mae": 10.0},
        "metrics": {168: {"mae": mae}},
        "naive": {168: 20.0},
        "naive_before": 20.0,
        "actuals": {168: 168},
        "daily": [mae] * 20,
        "predictions": 168,
        "silent_h": 1.0,
        "target": Target(version=1, expected={"mae": 10.5}),
    }
    return Facts(**{**given, **more})


def looked(policy: WatchPolicy, seen: Facts, times: int = 2, memory: Any = None) -> Any:
    memory = memory or {}
    verdict = None
    for at in range(times):
        verdict = decide(policy, seen, memory, NOW + at * SIX)
        memory = verdict.memory
    return verdict


def test_the_guides_rule_rolls_back_what_is_20_percent_worse() -> None:
    verdict = looked(WatchPolicy(), facts(25.0))
    (decision,) = verdict.decisions
    assert (decision.action, decision.target, decision.waits) == (Action.ROLLBACK, 1, "")
    assert decision.evidence["worse_by"] == pytest.approx(1.5)
    assert "150% worse than the 10 that validation promised" in decision.reason


@pytest.mark.parametrize("mae", [9.0, 11.9])
def test_what_keeps_its_promise_stays(mae: float) -> None:
    verdict = looked(WatchPolicy(), facts(mae), times=5)
    assert (verdict.state, verdict.decisions) == (State.HEALTHY, ())


def test_once_is_not_twice() -> None:
    assert looked(WatchPolicy(), facts(25.0), times=1).decisions == ()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"faults": ["unit of series 'a': 1000 times larger"]}, "the fault is in the data"),
        ({"target": None}, "no earlier good version"),
        ({"deployed_by_rollback": True}, "to and fro"),
        ({"drifted": ["temperature: +3"]}, "for version 1 as well"),
        ({"drifted": ["temperature: +3"], "target": Target(version=1, expected={"mae": 9}, has_drift=True)}, "as well"),
        ({"target": Target(version=1, expected={"mae": 30.0})}, "would do no better"),
        ({"target": Target(version=1)}, "nothing is known"),
    ],
)  # fmt: skip
def test_a_rollback_that_cannot_help_is_left_to_a_person(change: dict[str, Any], why: str) -> None:
    verdict = looked(WatchPolicy(data_faults="off"), facts(25.0, **change))
    (decision,) = verdict.decisions
    assert decision.action is Action.PAGE
    assert why in decision.waits
    assert verdict.state is State.WAITING


def test_drift_that_the_old_version_does_not_have_is_no_reason_to_stay() -> None:
    target = Target(version=1, expected={"mae": 10.0}, has_drift=False)
    (decision,) = looked(WatchPolicy(), facts(25.0, drifted=["t: +3"], target=target)).decisions
    assert decision.action is Action.ROLLBACK


def test_hard_times_are_no_fault_of_the_model() -> None:
    hard = facts(25.0, naive={168: 50.0}, daily_naive=[50.0] * 20)
    assert looked(WatchPolicy(), hard, times=4).decisions == ()
    rule = WatchRule(worse_than_promised=0.2, action=Action.ALERT, adjust_difficulty=False)
    assert looked(WatchPolicy(rules=[rule]), hard).decisions


def test_no_data_is_a_state_of_its_own() -> None:
    nothing = facts(math.nan, actuals={}, predictions=0, daily=[], silent_h=math.inf)
    verdict = looked(WatchPolicy(), nothing, times=5)
    assert (verdict.state, verdict.decisions) == (State.NO_DATA, ())
    few = facts(99.0, actuals={168: 5})
    assert looked(WatchPolicy(), few, times=5).state is State.NOT_ENOUGH_DATA
    (decision,) = looked(WatchPolicy(no_data_h=12), nothing, times=1).decisions
    assert (decision.action, decision.rule) == (Action.ALERT, "no_data")


def test_missing_figures_never_fire_and_never_pass() -> None:
    for change in ({"promised": {}}, {"metrics": {168: {"mae": math.nan}}}):
        verdict = looked(WatchPolicy(), facts(25.0, **change), times=5)
        assert verdict.decisions == ()
        assert verdict.state is State.NOT_ENOUGH_DATA


def test_it_cools_down_and_reminds_once_a_week() -> None:
    policy = WatchPolicy(rules=[WatchRule(max=5, action=Action.ALERT, cool_down_h=24)])
    memory: Any = {}
    acted = 0
    for at in range(4 * 10):
        verdict = decide(policy, facts(25.0), memory, NOW + at * SIX)
        memory, acted = verdict.memory, acted + len(verdict.decisions)
    assert acted == 10
    memory, acted = {}, 0
    for at in range(4 * 21):
        verdict = decide(WatchPolicy(), facts(25.0, target=None), memory, NOW + at * SIX)
        memory, acted = verdict.memory, acted + len(verdict.decisions)
    assert acted == 3


def test_hysteresis_keeps_a_rule_firing_near_its_limit() -> None:
    policy = WatchPolicy(rules=[WatchRule(max=20, action=Action.ALERT, evaluations=1, cool_down_h=0)])
    first = decide(policy, facts(21.0), {}, NOW)
    assert decide(policy, facts(19.0), {}, NOW).state is State.HEALTHY
    near = decide(policy, facts(19.0), first.memory, NOW + SIX)
    assert near.state is State.DEGRADED
    assert decide(policy, facts(17.0), near.memory, NOW + 2 * SIX).state is State.HEALTHY


def test_a_new_deployment_begins_anew() -> None:
    once = decide(WatchPolicy(), facts(25.0), {}, NOW)
    assert decide(WatchPolicy(), facts(25.0, sequence=3), once.memory, NOW + SIX).decisions == ()


def test_other_rules() -> None:
    seen = facts(
        25.0,
        metrics={168: {"mae": 25.0, "interval_coverage": 0.5, "f1": 0.4}},
        promised={"mae": 10, "f1_score": 0.8},
    )
    for rule in (
        WatchRule(metric="interval_coverage", min=0.8),
        WatchRule(worse_than_naive=0.1),
        WatchRule(metric="f1", worse_than_promised=0.2),
        WatchRule(anytime=0.05),
    ):
        assert len(looked(WatchPolicy(rules=[rule]), seen).decisions) == 1, rule
    stop = WatchRule(max=5, action=Action.STOP_CANARY)
    assert looked(WatchPolicy(rules=[stop]), seen).decisions == ()
    assert looked(WatchPolicy(rules=[stop]), replace(seen, has_canary=True)).decisions


def test_rules_that_make_no_sense_are_refused() -> None:
    for bad in (
        {},
        {"metric": "f1", "worse_than_naive": 0.1},
        {"metric": "f1", "anytime": 0.1},
        {"max": 1, "actions": "x"},
    ):
        with pytest.raises(ConfigError):
            WatchRule.model_validate(bad)


@given(ratios=st.lists(st.floats(0, 100) | st.just(math.nan), max_size=60))
def test_wealth_is_never_below_one_and_never_breaks(ratios: list[float]) -> None:
    assert 1.0 <= betting_wealth(ratios) < math.inf


def test_looking_every_day_for_a_year_keeps_the_promise_of_false_alarms() -> None:
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(300):
        ratio = np.exp(rng.normal(-0.02, 0.2, 365))
        alarms += betting_wealth(ratio.tolist()) >= 20
    assert alarms / 300 <= 0.05
