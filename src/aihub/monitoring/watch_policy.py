"""The section `policy.watch` of a spec: what is watched, and what follows. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from aihub.errors import ConfigError
from aihub.training.strict import StrictModel

Metric = Literal[
    "mae", "rmse", "mape", "smape", "wape", "r2_score", "bias", "interval_coverage", "precision", "recall", "f1", "auc",
]  # fmt: skip


class Action(StrEnum):
    """What a rule does."""

    ALERT = "alert"
    PAGE = "page"
    RETRAIN = "retrain"
    ROLLBACK = "rollback"
    STOP_CANARY = "stop_canary"


class WatchRule(StrictModel):
    """One rule; it fires when all of its conditions hold."""

    name: str = Field(default="", max_length=64, description="For people; empty: metric and action.")
    metric: Metric = Field(default="mae", description="What is looked at.")
    max: float | None = Field(default=None, description="Fires above.")
    min: float | None = Field(default=None, description="Fires below.")
    worse_than_promised: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Fires when worse than at validation by more than this share; 0.2 is 20 %.",
    )
    worse_than_naive: float | None = Field(
        default=None,
        ge=-1,
        le=100,
        description="Fires when the error exceeds that of the value a week before by this share.",
    )
    anytime: float | None = Field(default=None, gt=0, lt=1,
        description="Chance of a false alarm over the whole life of a deployment, however often one looks.",
    )  # fmt: skip
    adjust_difficulty: bool = Field(
        default=True,
        description="Promise less in times in which the value a week before errs more than usual: no version can mend weather.",
    )
    action: Action = Field(default=Action.ALERT, description="What to do.")
    window_h: int = Field(
        default=168,
        ge=1,
        le=24 * 366,
        strict=True,
        description="Hours looked back, at most to the deployment.",
    )
    min_actuals: int = Field(default=48, ge=1, strict=True, description="Fewer say nothing.")
    evaluations: int = Field(
        default=2, ge=1, le=100, strict=True, description="Times in a row before it acts."
    )
    clear_share: float = Field(
        default=0.1, ge=0, lt=1, description="It rests only when this share below its limit again."
    )
    cool_down_h: float = Field(default=24, ge=0, le=24 * 90, description="Hours before it acts again.")

    @property
    def label(self) -> str:
        """Name of the rule."""
        return self.name or f"{self.metric}.{self.action.value}"

    def check_agreement(self) -> None:
        """Refuse a rule that could never fire, or always."""
        given = (self.max, self.min, self.worse_than_promised, self.worse_than_naive, self.anytime)
        if all(value is None for value in given):
            raise ConfigError(
                "a watch rule has no condition. Give max, min, worse_than_promised, worse_than_naive or anytime.",
                field="rules",
            )
        if self.worse_than_naive is not None and self.metric not in ("mae", "rmse"):
            raise ConfigError("worse_than_naive compares mae or rmse. Change the metric.", field="rules")
        if self.anytime is not None and self.metric != "mae":
            raise ConfigError("anytime tests the mae. Change the metric.", field="rules")


def usual_rules() -> list[WatchRule]:
    """Return the guide's rule: 20 % worse than promised, made sure over days, means going back."""
    return [WatchRule(worse_than_promised=0.20, anytime=0.01, action=Action.ROLLBACK)]


class WatchPolicy(StrictModel):
    """The section `policy.watch` of a spec."""

    rules: list[WatchRule] = Field(default_factory=usual_rules, max_length=50, description="What is watched.")
    drift: Literal["off", "alert", "page", "retrain"] = Field(
        default="off", description="What drift of the features does by itself."
    )
    data_faults: Literal["off", "alert", "page"] = Field(
        default="alert",
        description="What a stuck, dead or reversed meter, another unit or a wrong clock does.",
    )
    no_data_h: float = Field(
        default=0, ge=0, le=24 * 90, description="Alert when no prediction came for so long; 0: never."
    )
    groups: dict[str, list[str]] = Field(
        default_factory=dict, description="Groups of series for the report: patterns of series ids per name."
    )
