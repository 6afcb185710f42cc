"""What may happen to a version: by itself, after a person's word, later, or never. Pure.

The policy of a model is written in its spec and kept with each version; the rules of the tenant are a floor below it.
What is missing never passes: no report, no number, no answer are all "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field

from aihub.delivery.freeze import MAX_WINDOWS, FreezeWindow, frozen
from aihub.delivery.strategy import Strategy
from aihub.errors import ConfigError, InputError, did_you_mean
from aihub.monitoring.watch_policy import WatchPolicy
from aihub.training.strict import StrictModel
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Environment = Literal["staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
"""In the order in which a version goes through them."""
DEFAULT_EXPIRES_H = 72.0
MAX_APPROVERS = 10


class ApprovalRule(StrictModel):
    """Who has to agree."""

    role: Literal["approver", "admin"] = Field(default="approver", description="Role of those who decide.")
    approvers: int = Field(
        default=1, ge=1, le=MAX_APPROVERS, strict=True, description="How many different people have to agree."
    )
    expires_h: float = Field(
        default=DEFAULT_EXPIRES_H, gt=0, le=24 * 90, description="Hours after which the request lapses."
    )

    def admits(self, role: Role) -> bool:
        """Whether somebody of this role may decide; an admin may wherever an approver may."""
        return role in (Role.ADMIN, Role(self.role))


def _approval(value: Any) -> Any:
    if value == "automatic" or isinstance(value, dict | ApprovalRule):
        return value
    raise ValueError("give 'automatic', or a mapping with 'role', 'approvers' and 'expires_h'")


class EnvironmentRule(StrictModel):
    """How a version comes into one environment."""

    approval: Annotated[Literal["automatic"] | ApprovalRule, BeforeValidator(_approval)] = Field(
        default="automatic",
        description="`automatic` once the gate passed and the tenant allows it, or who has to agree.",
    )
    strategy: Strategy | None = Field(default=None, description="Instead of the policy's own.")
    freeze: list[FreezeWindow] = Field(
        default_factory=list, max_length=MAX_WINDOWS, description="Besides the policy's own."
    )


class Environments(StrictModel):
    """The environments of a model; one that is left out does not exist for it."""

    staging: EnvironmentRule | None = Field(default=None, description="Where a version proves itself first.")
    production: EnvironmentRule | None = Field(default=None, description="What the world asks.")

    def check_agreement(self) -> None:
        """Refuse a model that can go nowhere."""
        if self.staging is None and self.production is None:
            raise ConfigError("no environment is given. Add 'production' or remove 'environments'.")


def _usual() -> Environments:
    return Environments(staging=EnvironmentRule(), production=EnvironmentRule(approval=ApprovalRule()))


class DeliveryPolicy(StrictModel):
    """The section `policy:` of a spec."""

    environments: Environments = Field(
        default_factory=_usual,
        description="Default: staging automatic, production after one approver's word.",
    )
    strategy: Strategy = Field(
        default_factory=Strategy, description="How a version takes over in production."
    )
    freeze: list[FreezeWindow] = Field(
        default_factory=list, max_length=MAX_WINDOWS, description="When nothing new is deployed."
    )
    watch: WatchPolicy = Field(
        default_factory=WatchPolicy, description="When to alert, retrain or roll back by itself."
    )

    def rule(self, environment: str) -> EnvironmentRule | None:
        """Rule of an environment, None where the model does not go there."""
        found: EnvironmentRule | None = getattr(self.environments, check_environment(environment))
        return found

    def strategy_in(self, environment: str) -> Strategy:
        """How a version takes over in an environment; in staging at once, unless its rule says otherwise."""
        rule = self.rule(environment)
        if rule is not None and rule.strategy is not None:
            return rule.strategy
        return self.strategy if environment == "production" else Strategy()


def _staging() -> list[Environment]:
    return ["staging"]


class TenantRules(StrictModel):
    """What a tenant allows at most; a policy can only be stricter."""

    auto_deploy: list[Environment] = Field(
        default_factory=_staging, description="Where a version may go without a person."
    )
    min_approvals: dict[Environment, int] = Field(
        default_factory=dict, description="Fewest people that have to agree, per environment."
    )
    max_expires_h: float = Field(default=24 * 30, gt=0, le=24 * 90, description="Longest life of a request.")
    require_staging: bool = Field(
        default=False, description="Whether a policy without staging is refused in production."
    )
    freeze: list[FreezeWindow] = Field(
        default_factory=list,
        max_length=MAX_WINDOWS,
        description="When nothing new is deployed, of any model.",
    )
    max_running_jobs: int = Field(
        default=4, ge=1, le=10_000, strict=True, description="Jobs at the same time."
    )
    max_queued_jobs: int = Field(
        default=100_000, ge=1, le=10_000_000, strict=True, description="Jobs that wait for a worker."
    )
    max_jobs_per_day: int | None = Field(
        default=None, ge=1, strict=True, description="Jobs within 24 hours; empty: any."
    )

    def check_agreement(self) -> None:
        """Refuse numbers of approvers that nobody could bring together."""
        for environment, count in self.min_approvals.items():
            if not 0 <= count <= MAX_APPROVERS:
                raise ConfigError(
                    f"{count} approvers of {environment} are asked for; give 0 to {MAX_APPROVERS}.",
                    field=f"min_approvals.{environment}",
                )


def check_environment(name: str) -> Environment:
    """Return `name` as one of the environments.

    Raises
    ------
    InputError
        It is none.
    """
    for known in ENVIRONMENTS:
        if name == known:
            return known
    raise InputError(f"no environment {name[:64]!r}.{did_you_mean(name, ENVIRONMENTS)}")


def parse_policy(section: Mapping[str, Any] | None) -> DeliveryPolicy:
    """Read the section `policy:` of a spec.

    Raises
    ------
    ConfigError
        A field is unknown or wrong; its path begins with ``policy``.
    """
    try:
        return DeliveryPolicy.model_validate(dict(section or {}))
    except ConfigError as error:
        path = f"policy.{error.field}" if error.field else "policy"
        raise ConfigError(f"policy: {error}", field=path) from None


def approval_rule(policy: DeliveryPolicy, rules: TenantRules, environment: str) -> ApprovalRule | None:
    """Who has to agree to a deployment: the stricter of policy and tenant; None where nobody has to."""
    name = check_environment(environment)
    own = policy.rule(name)
    fewest = rules.min_approvals.get(name, 0)
    if own is None or own.approval == "automatic":
        if name in rules.auto_deploy and fewest == 0:
            return None
        asked = ApprovalRule()
    else:
        asked = own.approval
    return ApprovalRule(
        role=asked.role,
        approvers=max(asked.approvers, fewest),
        expires_h=min(asked.expires_h, rules.max_expires_h),
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a version that wants to go into an environment.

    Attributes
    ----------
    gate_passed
        What its report says; None where there is none.
    was_staged
        Whether this very artefact was deployed to staging before.
    is_approved
        Whether a request for this very artefact and report has been granted and holds.
    has_champion
        Whether something serves there: without, there is nothing to compare a newcomer with.
    """

    gate_passed: bool | None
    was_staged: bool = False
    is_approved: bool = False
    has_champion: bool = False


@dataclass(frozen=True)
class Deploy:
    """It may go, in this way."""

    strategy: Strategy


@dataclass(frozen=True)
class Ask:
    """People have to agree first; `because`, where the policy of the model itself would ask nobody."""

    rule: ApprovalRule
    because: str = ""


@dataclass(frozen=True)
class Hold:
    """Not now: until when (None: until something else happens) and why."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True)
class Reject:
    """Not at all, and why."""

    reason: str


Step: TypeAlias = Deploy | Ask | Hold | Reject


def next_step(
    policy: DeliveryPolicy, rules: TenantRules, environment: str, standing: Standing, *, now: datetime
) -> Step:
    """Decide what happens to a version next on its way into `environment`.

    People are asked in a freeze as well, so that they have agreed when it ends.

    Raises
    ------
    InputError
        There is no such environment.
    """
    name = check_environment(environment)
    rule = policy.rule(name)
    if rule is None:
        return Reject(
            f"the policy of the model has no environment {name!r}; add it under policy.environments"
        )
    if standing.gate_passed is not True:
        return Reject(_not_passed(standing.gate_passed))
    if name == "production" and not standing.was_staged:
        if policy.environments.staging is not None:
            return Hold("this version has not been in staging; deploy it there first")
        if rules.require_staging:
            return Reject("the tenant requires staging; add it under policy.environments")
    return _allowed(policy, rules, name, rule, standing, now=now)


def _allowed(
    policy: DeliveryPolicy,
    rules: TenantRules,
    name: Environment,
    rule: EnvironmentRule,
    standing: Standing,
    *,
    now: datetime,
) -> Ask | Hold | Deploy:
    """Decide about a version that is good enough and is at its turn."""
    asked = approval_rule(policy, rules, name)
    if asked is not None and not standing.is_approved:
        because = f"the tenant's rules let nothing into {name} by itself: auto_deploy, min_approvals"
        return Ask(asked, because if rule.approval == "automatic" else "")
    freeze = frozen([*rules.freeze, *policy.freeze, *rule.freeze], now)
    if freeze is not None:
        return Hold(str(freeze), freeze.until)
    return Deploy(policy.strategy_in(name) if standing.has_champion else Strategy())


def _not_passed(passed: bool | None) -> str:  # noqa: FBT001 - three answers of one question
    if passed is None:
        return (
            "the version has no report of the gate; validate it (aihub jobs validate NAME VERSION --data FILE), "
            "or let an admin override with a reason"
        )
    return "the gate rejected the version; train a better one, or let an admin override with a reason"
