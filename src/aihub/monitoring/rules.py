"""The watch rules of a model: what must hold, what to do, and when not to. Pure: values in, decisions out.

A rule fires when *all* of its conditions hold, on enough actuals, several times in a row. A rollback is decided only where
it can help: never for a fault of the data, never to a version that would do no better, never to and fro.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aihub.monitoring.watch_policy import Action, WatchPolicy, WatchRule
from aihub.validation.metrics import is_lower_better

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REMIND_H = 168.0
"""A person is told of the same thing once a week."""
_GATE_NAMES = {"f1": "f1_score", "auc": "auc_roc"}


class State(StrEnum):
    """How a model is. No data is neither healthy nor a reason to act on the model."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    NO_DATA = "no data"
    NOT_ENOUGH_DATA = "not enough data"
    WAITING = "waits for a person"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The version that a rollback would go to.

    Attributes
    ----------
    expected
        Its metrics as measured when it served last (or promised, where it was not measured); empty: not known.
    has_drift
        Whether the present features are drift for this version too; None: not known.
    """

    version: int
    expected: Mapping[str, float] = field(default_factory=dict)
    has_drift: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a serving version when a rule is looked at.

    Attributes
    ----------
    sequence
        Of the deployment; a new one begins anew.
    deployed_by_rollback
        Whether the champion came by a rollback.
    promised
        Metrics of validation.
    metrics, naive, actuals
        By window length in hours: the version's metrics, the seasonal-naive error, the joined rows.
    naive_before
        Seasonal-naive error of the four weeks before the deployment, NaN where not known.
    daily, daily_naive
        Mean absolute error of each whole day since the deployment, ascending, and the seasonal-naive one (NaN where it
        is not known).
    predictions
        In the longest window.
    silent_h
        Hours since the last prediction; infinite where there was none.
    drifted
        Features that drifted: name, colon, effect.
    faults
        Lasting faults of the stream: kind and series, colon, what was seen.
    target
        Where a rollback would go; None with `no_target` saying why.
    """

    version: int
    sequence: int
    deployed_at: datetime
    deployed_by_rollback: bool = False
    promised: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    naive: Mapping[int, float] = field(default_factory=dict)
    actuals: Mapping[int, int] = field(default_factory=dict)
    naive_before: float = math.nan
    daily: Sequence[float] = ()
    daily_naive: Sequence[float] = ()
    predictions: int = 0
    silent_h: float = math.inf
    drifted: Sequence[str] = ()
    faults: Sequence[str] = ()
    target: Target | None = None
    no_target: str = "there is no earlier good version"
    has_canary: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One thing to do, with its evidence.

    Attributes
    ----------
    waits
        A rollback was called for and is left to a person, for this reason; empty otherwise.
    """

    action: Action
    rule: str
    version: int
    reason: str
    evidence: Mapping[str, Any]
    target: int | None = None
    waits: str = ""


@dataclass(frozen=True)
class Verdict:
    """What one evaluation found: the model's state, what to do, and what to remember."""

    state: State
    decisions: tuple[Decision, ...]
    memory: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def decide(policy: WatchPolicy, facts: Facts, memory: Mapping[str, Any], now: datetime) -> Verdict:
    """Look at every rule.

    Parameters
    ----------
    memory
        What the last evaluation returned; empty at first. JSON-able.
    """
    kept: dict[str, Any] = dict(memory) if memory.get("sequence") == facts.sequence else {}
    kept = {"sequence": facts.sequence, "rules": dict(kept.get("rules", {}))}
    found: list[Decision] = []
    notes: list[str] = []
    states: list[State] = []
    for rule in policy.rules:
        state, decision, note = _look(rule, facts, kept["rules"], now)
        states.append(state)
        notes += [note] if note else []
        found += [decision] if decision else []
    for name, wanted, seen in (
        ("data_faults", policy.data_faults, facts.faults),
        ("drift", policy.drift, facts.drifted),
    ):
        told = kept["rules"].get(name, {}).get("told", [])
        is_news = any(one.partition(":")[0] not in told for one in seen)
        if wanted != "off" and seen and (is_news or _may_act(kept["rules"], name, REMIND_H, now)):
            what = "the data have faults" if name == "data_faults" else "features drifted"
            found.append(_plain(Action(wanted), name, facts, f"{what}: {'; '.join(seen[:5])}", list(seen)))
            _acted(kept["rules"], name, now)
            kept["rules"][name]["told"] = sorted({one.partition(":")[0] for one in seen})
    if (
        policy.no_data_h
        and facts.silent_h > policy.no_data_h
        and _may_act(kept["rules"], "no_data", 24.0, now)
    ):
        reason = (
            f"no prediction for {facts.silent_h:.0f} h"
            if math.isfinite(facts.silent_h)
            else "no prediction yet"
        )
        found.append(_plain(Action.ALERT, "no_data", facts, reason, []))
        _acted(kept["rules"], "no_data", now)
    return Verdict(_worst(states, facts), tuple(found), kept, tuple(notes))


def _look(
    rule: WatchRule, facts: Facts, rules: dict[str, Any], now: datetime
) -> tuple[State, Decision | None, str]:
    seen = facts.actuals.get(rule.window_h, 0)
    if seen < rule.min_actuals:
        note = f"{rule.label}: {seen} actuals, {rule.min_actuals} would do"
        return (State.NOT_ENOUGH_DATA if facts.predictions else State.NO_DATA), None, note
    mine = dict(rules.get(rule.label, {}))
    evidence, missing = conditions(rule, facts, margin=rule.clear_share if mine.get("firing") else 0.0)
    if missing:
        return State.NOT_ENOUGH_DATA, None, f"{rule.label}: {missing}"
    if evidence is None:
        rules[rule.label] = {**mine, "streak": 0, "firing": False}
        return State.HEALTHY, None, ""
    streak = int(mine.get("streak", 0)) + 1
    rules[rule.label] = {**mine, "streak": streak, "firing": True}
    note = ""
    if streak < rule.evaluations:
        note = f"seen {streak} of {rule.evaluations} times"
    elif rule.action is Action.STOP_CANARY and not facts.has_canary:
        note = "there is no canary to stop"
    elif not _may_act(rules, rule.label, max(rule.cool_down_h, REMIND_H if mine.get("waits") else 0), now):
        note = "cools down"
    if note:
        return State.DEGRADED, None, f"{rule.label}: {note}"
    _acted(rules, rule.label, now)
    decision = Decision(
        action=rule.action,
        rule=rule.label,
        version=facts.version,
        reason=str(evidence["reason"]),
        evidence=evidence,
    )
    if rule.action is Action.ROLLBACK:
        decision = _rollback(decision, rule, facts)
        rules[rule.label]["waits"] = bool(decision.waits)
    return (State.WAITING if decision.waits else State.DEGRADED), decision, ""


@dataclass(frozen=True)
class _Checked:
    """One condition: whether it holds (None: cannot be told, for the reason in `words`), and what to write down."""

    holds: bool | None
    words: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def conditions(rule: WatchRule, facts: Facts, *, margin: float = 0.0) -> tuple[dict[str, Any] | None, str]:
    """Return the evidence when all conditions of `rule` hold, else None; and what is missing to tell, else nothing.

    `margin`: the share by which limits are lowered while a rule is firing.
    """
    value = facts.metrics.get(rule.window_h, {}).get(rule.metric, math.nan)
    if math.isnan(value):
        return None, f"{rule.metric} is not known"
    checked = [
        check(rule, facts, value, margin)
        for name, check in _CONDITIONS.items()
        if getattr(rule, name) is not None
    ]
    missing = next((one.words for one in checked if one.holds is None), "")
    if missing or not all(one.holds for one in checked):
        return None, missing
    evidence = {
        "metric": rule.metric,
        "value": value,
        "window_h": rule.window_h,
        "actuals": facts.actuals.get(rule.window_h, 0),
    }
    for one in checked:
        evidence |= one.evidence
    words = [f"{rule.metric} {value:.4g} over {rule.window_h} h", *(one.words for one in checked)]
    return {**evidence, "reason": ", ".join(words)}, ""


def _above(rule: WatchRule, facts: Facts, value: float, margin: float) -> _Checked:  # noqa: ARG001 - one form for all
    limit = rule.max or 0.0
    return _Checked(value > limit - margin * abs(limit), f"above {limit:g}")


def _below(rule: WatchRule, facts: Facts, value: float, margin: float) -> _Checked:  # noqa: ARG001 - as above
    limit = rule.min or 0.0
    return _Checked(value < limit + margin * abs(limit), f"below {limit:g}")


def _against_promise(rule: WatchRule, facts: Facts, value: float, margin: float) -> _Checked:
    promised = facts.promised.get(_gate_name(rule.metric), math.nan)
    if math.isnan(promised) or promised == 0:
        return _Checked(None, f"validation promised no {rule.metric}")
    harder = 1.0
    if rule.adjust_difficulty and rule.metric in ("mae", "rmse"):
        harder = difficulty(facts, facts.naive.get(rule.window_h, math.nan))
    if _is_error(rule.metric):
        worse = abs(value) / (abs(promised) * harder) - 1
    else:
        worse = (promised - value) / abs(promised)
    words = f"{worse:.0%} worse than the {promised:.4g} that validation promised"
    if harder > 1:
        words += f" (in a time that is {harder:.2g} times as hard)"
    return _Checked(
        worse > (rule.worse_than_promised or 0.0) * (1 - margin),
        words,
        {"promised": promised, "worse_by": worse, "harder": harder},
    )


def difficulty(facts: Facts, naive: float) -> float:
    """Return how much harder a time is than usual: its seasonal-naive error against the usual one, at least 1.

    Usual is what validation had (from the promised mae and skill), else the four weeks before the deployment.
    """
    promised, skill = facts.promised.get("mae", math.nan), facts.promised.get("skill", math.nan)
    usual = promised / (1 - skill) if skill < 1 and promised > 0 else facts.naive_before
    return max(1.0, naive / usual) if usual > 0 and naive > 0 else 1.0


def _against_naive(rule: WatchRule, facts: Facts, value: float, margin: float) -> _Checked:
    naive = facts.naive.get(rule.window_h, math.nan)
    if not naive > 0:
        return _Checked(None, "the seasonal-naive error is not known")
    limit = naive * (1 + (rule.worse_than_naive or 0.0)) * (1 - margin)
    return _Checked(value > limit, f"the value a week before has {naive:.4g}", {"naive": naive})


def _made_sure(rule: WatchRule, facts: Facts, value: float, margin: float) -> _Checked:  # noqa: ARG001 - as above
    promised = facts.promised.get("mae", math.nan)
    if not promised > 0:
        return _Checked(None, "validation promised no mae to test against")
    limit = promised * (1 + (rule.worse_than_promised or 0.0))
    naive = facts.daily_naive if rule.adjust_difficulty else ()
    harder = [difficulty(facts, one) for one in naive] or [1.0] * len(facts.daily)
    wealth = betting_wealth([error / limit / hard for error, hard in zip(facts.daily, harder, strict=True)])
    days = len(facts.daily)
    return _Checked(
        wealth >= 1 / (rule.anytime or 1.0),
        f"{days} days say so with evidence of {wealth:.3g} to 1",
        {"wealth": wealth, "days": days},
    )


_CONDITIONS = {
    "max": _above,
    "min": _below,
    "worse_than_promised": _against_promise,
    "worse_than_naive": _against_naive,
    "anytime": _made_sure,
}


def _gate_name(metric: str) -> str:
    return _GATE_NAMES.get(metric, metric)


def _is_error(metric: str) -> bool:
    return metric != "interval_coverage" and is_lower_better(_gate_name(metric))


def betting_wealth(ratios: Sequence[float], *, shares: int = 20) -> float:
    """Evidence against "the mean ratio is at most 1", however often one looks.

    Somebody bets a share of his money on each day's ratio being above 1; under the hypothesis his wealth is a
    non-negative supermartingale, so that it ever exceeds 1/a with probability at most a (Ville). The average over
    `shares` such players is one too. Days may depend on each other; what is assumed is that whatever has been seen, the
    next day's ratio is expected to be at most 1.

    Parameters
    ----------
    ratios
        Non-negative, in the order of time; NaN is left out.

    Returns
    -------
    float
        The largest wealth so far; 1 is no evidence.

    References
    ----------
    Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS-B 86 (2024) 1-27.

    Examples
    --------
    >>> betting_wealth([1.0, 0.9, 1.1]) < 2, betting_wealth([5.0, 6.0, 4.0, 5.0]) > 100
    (True, True)
    """
    players = [1.0] * shares
    best = 1.0
    for ratio in ratios:
        if math.isnan(ratio):
            continue
        gain = min(ratio, 1e6) - 1
        players = [wealth * (1 + (at + 1) / (shares + 1) * gain) for at, wealth in enumerate(players)]
        best = max(best, sum(players) / shares)
    return best


def _rollback(decision: Decision, rule: WatchRule, facts: Facts) -> Decision:
    """Go back, or wait for a person and say why."""
    why = reason_to_wait(rule, facts)
    if why:
        return replace(decision, action=Action.PAGE, waits=why)
    target = facts.target.version if facts.target else None
    return replace(decision, target=target)


def reason_to_wait(rule: WatchRule, facts: Facts) -> str:
    """Say why a rollback is left to a person; empty where nothing speaks against it."""
    target = facts.target
    if facts.faults:
        return f"the fault is in the data ({facts.faults[0]}), and no version can mend that"
    if target is None:
        return facts.no_target
    if facts.deployed_by_rollback:
        return "the version serves because of a rollback; going on would be to and fro"
    if facts.drifted and target.has_drift is not False:
        return f"the features drifted ({facts.drifted[0]}) for version {target.version} as well"
    return _no_better(rule, facts, target)


def _no_better(rule: WatchRule, facts: Facts, target: Target) -> str:
    value = facts.metrics.get(rule.window_h, {}).get(rule.metric, math.nan)
    expected = target.expected.get(rule.metric, target.expected.get(_gate_name(rule.metric), math.nan))
    if math.isnan(expected):
        return f"nothing is known of the {rule.metric} of version {target.version}"
    is_error = _is_error(rule.metric)
    if (expected >= value) if is_error else (expected <= value):
        return f"version {target.version} had {rule.metric} {expected:.4g} and would do no better"
    naive, before = facts.naive.get(rule.window_h, math.nan), facts.naive_before
    promised = facts.promised.get(rule.metric, math.nan)
    if is_error and promised > 0 and before > 0 and naive / before - 1 > 0.5 * (value / promised - 1):
        return f"the seasonal-naive error rose too, from {before:.4g} to {naive:.4g}: the world changed, not the model"
    return ""


def _plain(action: Action, rule: str, facts: Facts, reason: str, seen: list[str]) -> Decision:
    return Decision(action=action, rule=rule, version=facts.version, reason=reason, evidence={"seen": seen})


def _may_act(rules: Mapping[str, Any], name: str, cool_down_h: float, now: datetime) -> bool:
    last = rules.get(name, {}).get("acted_at")
    return last is None or now - datetime.fromisoformat(last) >= timedelta(hours=cool_down_h)


def _acted(rules: dict[str, Any], name: str, now: datetime) -> None:
    rules[name] = {**rules.get(name, {}), "acted_at": now.isoformat()}


def _worst(states: Sequence[State], facts: Facts) -> State:
    for state in (State.WAITING, State.DEGRADED, State.HEALTHY, State.NOT_ENOUGH_DATA):
        if state in states:
            return state
    return State.NO_DATA if not facts.predictions else State.NOT_ENOUGH_DATA
