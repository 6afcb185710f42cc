"""How a version takes over: at once, watched in the shadow, or by growing shares of the traffic. Pure.

No data is neither healthy nor a reason to go back: where the numbers are missing a rollout stays where it is, and ends
without the newcomer when its time is up.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from aihub.errors import ConfigError
from aihub.training.strict import StrictModel

if TYPE_CHECKING:
    from datetime import datetime

MAX_STEPS = 20


class RolloutStep(StrictModel):
    """A share of the traffic, and what has to have come together before the next."""

    share: float = Field(gt=0, lt=1, description="Share of the traffic, 0 to 1.")
    minutes: float = Field(default=60, ge=0, le=60 * 24 * 90, description="Shortest time on this step.")
    requests: int = Field(
        default=100,
        ge=0,
        le=10**9,
        strict=True,
        description="Fewest predictions of the newcomer on this step.",
    )


class RolloutLimits(StrictModel):
    """When the newcomer goes on, and when it goes. Errors are compared over the same time and the same series."""

    step_up: float | None = Field(
        default=1.05,
        gt=0,
        le=100,
        description="Goes on where its error is at most this many times the champion's.",
    )
    rollback: float | None = Field(
        default=1.2,
        gt=0,
        le=100,
        description="Is stopped where its error is more than this many times the champion's.",
    )
    observations: int = Field(
        default=50,
        ge=1,
        le=10**9,
        strict=True,
        description="Predictions with actuals that a comparison needs.",
    )
    failures: float = Field(
        default=0.01, ge=0, le=1, description="Highest share of its answers that may fail."
    )

    def check_agreement(self) -> None:
        """Refuse limits between which a version would both go on and be stopped."""
        if self.step_up is not None and self.rollback is not None and self.rollback < self.step_up:
            raise ConfigError("'rollback' is below 'step_up'. Raise it.", field="rollback")


class Strategy(StrictModel):
    """How a version takes over."""

    kind: Literal["direct", "shadow", "canary"] = Field(
        default="direct",
        description="At once; answers logged and not served; or growing shares of the traffic.",
    )
    steps: list[RolloutStep] = Field(
        default_factory=list, max_length=MAX_STEPS, description="Shares of a canary; empty: 5 %, 25 %, 50 %."
    )
    minutes: float = Field(default=24 * 60, ge=0, le=60 * 24 * 90, description="Shortest time in the shadow.")
    requests: int = Field(
        default=100, ge=0, le=10**9, strict=True, description="Fewest predictions in the shadow."
    )
    limits: RolloutLimits = Field(default_factory=RolloutLimits, description="When it goes on or goes.")
    promote: Literal["automatic", "manual"] = Field(
        default="automatic", description="Whether the last step makes it champion, or a person does."
    )
    max_hours: float = Field(
        default=24 * 14, gt=0, le=24 * 365, description="Stopped where it has not become champion by then."
    )

    def check_agreement(self) -> None:
        """Refuse steps that do not grow, or that another kind would ignore."""
        if self.steps and self.kind != "canary":
            raise ConfigError(
                f"'steps' belong to a canary, not to {self.kind!r}. Remove them.", field="steps"
            )
        shares = [step.share for step in self.steps]
        if any(later <= earlier for earlier, later in itertools.pairwise(shares)):
            raise ConfigError("the shares of the steps have to grow. Put them in order.", field="steps")

    @property
    def plan(self) -> list[RolloutStep]:
        """Steps of a canary."""
        return self.steps or [RolloutStep(share=share) for share in (0.05, 0.25, 0.5)]


@dataclass(frozen=True, kw_only=True)
class Live:
    """What one of the two did on the present step: answers, failed ones, and its error over those with actuals.

    `error` is any error of which less is better, the same for both; NaN or None where there is none yet.
    """

    requests: int = 0
    failures: int = 0
    observations: int = 0
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A newcomer beside the champion: where it stands."""

    strategy: Strategy
    position: int
    started_at: datetime
    stepped_at: datetime

    @property
    def share(self) -> float:
        """Share of the traffic that the newcomer answers now; 0 in the shadow."""
        return 0.0 if self.strategy.kind == "shadow" else self.strategy.plan[self.position].share


@dataclass(frozen=True)
class Stay:
    """Nothing changes, and why."""

    reason: str


@dataclass(frozen=True)
class StepUp:
    """The next share of the traffic."""

    position: int
    share: float
    reason: str
    evidence: dict[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Promote:
    """The newcomer becomes champion."""

    reason: str
    evidence: dict[str, float | int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """The newcomer goes, the champion stays."""

    reason: str
    evidence: dict[str, float | int | None] = field(default_factory=dict)


Advance: TypeAlias = Stay | StepUp | Promote | Stop


def advance(rollout: Rollout, champion: Live, newcomer: Live, now: datetime) -> Advance:
    """Decide what becomes of a rollout from what both versions did since its last step.

    A fault stops it at once, without waiting for the step's time; going on needs time, requests and a comparison.
    """
    strategy, limits = rollout.strategy, rollout.strategy.limits
    ratio = error_ratio(champion, newcomer, limits.observations)
    evidence: dict[str, float | int | None] = {
        "error_ratio": ratio,
        "requests": newcomer.requests,
        "failures": newcomer.failures,
        "observations": newcomer.observations,
    }
    fault = _fault(ratio, newcomer, limits)
    if fault:
        return Stop(fault, evidence)
    waiting = _missing(rollout, ratio, newcomer, now)
    if waiting:
        if now - rollout.started_at >= timedelta(hours=strategy.max_hours):
            return Stop(f"not decided within {strategy.max_hours:g} h: {waiting}", evidence)
        return Stay(waiting)
    compared = (
        f"error {ratio:.3g} times the champion's" if ratio is not None else "no failures above the limit"
    )
    if strategy.kind == "canary" and rollout.position + 1 < len(strategy.plan):
        position = rollout.position + 1
        return StepUp(position, strategy.plan[position].share, compared, evidence)
    if strategy.promote == "manual":
        return Stay(f"ready, {compared}; a person promotes or stops it")
    return Promote(compared, evidence)


def error_ratio(champion: Live, newcomer: Live, observations: int) -> float | None:
    """Error of the newcomer in multiples of the champion's; None where it cannot be told.

    >>> error_ratio(Live(observations=60, error=2.0), Live(observations=60, error=3.0), 50)
    1.5
    >>> error_ratio(Live(observations=60, error=2.0), Live(observations=60, error=float("nan")), 50) is None
    True
    """
    if min(champion.observations, newcomer.observations) < observations:
        return None
    before, after = champion.error, newcomer.error
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return None
    if before < 0 or after < 0 or before == 0:
        return 1.0 if before == after == 0 else None
    ratio = after / before
    return ratio if math.isfinite(ratio) else None


def _fault(ratio: float | None, newcomer: Live, limits: RolloutLimits) -> str:
    if ratio is not None and limits.rollback is not None and ratio > limits.rollback:
        return f"its error is {ratio:.3g} times the champion's, the limit is {limits.rollback:g}"
    enough = newcomer.requests * limits.failures >= 1 or newcomer.failures > 2  # noqa: PLR2004 - one or two may be chance
    if newcomer.requests and enough and newcomer.failures / newcomer.requests > limits.failures:
        return f"{newcomer.failures} of its {newcomer.requests} answers failed, the limit is {limits.failures:.2%}"
    return ""


def _missing(rollout: Rollout, ratio: float | None, newcomer: Live, now: datetime) -> str:
    """Say what is still lacking for the next step; empty where nothing is."""
    strategy = rollout.strategy
    step = strategy if strategy.kind == "shadow" else strategy.plan[rollout.position]
    due = rollout.stepped_at + timedelta(minutes=step.minutes)
    if now < due:
        return f"the step lasts until {due:%Y-%m-%d %H:%M} UTC"
    if newcomer.requests < step.requests:
        return f"{newcomer.requests} of {step.requests} requests so far"
    if newcomer.requests and newcomer.failures / newcomer.requests > strategy.limits.failures:
        return f"{newcomer.failures} of {newcomer.requests} answers failed"
    limit = strategy.limits.step_up
    if limit is None:
        return ""
    if ratio is None:
        return f"its error cannot be compared yet, {strategy.limits.observations} predictions with actuals are needed"
    return "" if ratio <= limit else f"its error is {ratio:.3g} times the champion's, it goes on at {limit:g}"
