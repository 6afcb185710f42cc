"""What to train: the configuration of the guide, plus what real data needs."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from aihub.errors import ConfigError, did_you_mean
from aihub.training.frequency import MAX_HORIZON_STEPS, parse_frequency, steps_per_day
from aihub.training.strict import StrictModel
from aihub.types import ModelType, iso

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
PluginName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


_LARGEST_INT = 2**63 - 1


def _finite_scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be finite, got {value}. Write a number.")
    if isinstance(value, int) and abs(value) > _LARGEST_INT:
        raise ValueError("is larger than any number that makes sense here. Write a smaller one.")
    if not isinstance(value, bool | int | float | str):
        raise ValueError(  # noqa: TRY004 - pydantic collects ValueError only
            f"must be a number, text, true or false, got {type(value).__name__}. Write a single value."
        )
    return value


Scalar = Annotated[bool | int | float | str, BeforeValidator(_finite_scalar)]
MAX_LAG_STEPS = 100_000


class TrainingConfig(StrictModel):
    """How one model is trained. Every field but `target` has a default that fits hourly load.

    Attributes
    ----------
    training_start, training_end
        First and last stamp used, both included; without an offset they are wall clock of `timestamp_zone`.
    timestamp_zone
        Zone of stamps that carry no offset, where it differs from `time_zone` (UTC stamps of a Melbourne meter).
    time_zone
        IANA zone in which calendar features are computed; also of naive stamps. None means UTC.
    first_timestamp
        For a file without a time column: rows are `frequency` apart from here, in file order.
    horizon
        Steps ahead; None means 24 hours' worth.
    known_future
        Features that are known ahead (weather forecast, price); None means all of them.
    positive_label
        For a target of words: the word that means 1; every other word means 0.
    labels
        Anomaly only: whether `target` is a 0/1 label; None means look at it.
    repair
        ``auto`` corrects faulty values with a note, ``off`` only reports them.
    """

    model_type: ModelType = Field(ModelType.FORECAST, description="What the model answers.")
    algorithm: PluginName = Field("lgbm", description="lgbm, xgboost or the name of a plugin.")
    hyperparameters: dict[str, Scalar] = Field(
        default_factory=dict,
        max_length=64,
        description="Checked against the algorithm's allow-list and ranges.",
    )
    training_start: datetime | None = Field(None, description="First stamp used, included.")
    training_end: datetime | None = Field(None, description="Last stamp used, included.")
    features: list[ColumnName] = Field(
        default_factory=list, max_length=2000, description="Columns beside the target's own past."
    )
    target: ColumnName = Field(description="Column that is forecast or watched.")
    validation_split: float = Field(
        0.2, gt=0, lt=1, description="Last share of the time span, kept for validation."
    )
    timestamp: ColumnName = Field("timestamp", description="Column of time stamps.")
    timestamp_zone: str | None = Field(
        None, description="IANA zone of stamps without offset, where it is not time_zone."
    )
    first_timestamp: datetime | None = Field(
        None, description="For files without a time column: stamp of the first row; needs frequency."
    )
    series_id: ColumnName | None = Field(None, description="Column that tells meters apart.")
    horizon: int | None = Field(None, ge=1, le=MAX_HORIZON_STEPS, description="Steps ahead; empty: 24 hours.")
    frequency: str | None = Field(
        None, description="Step between rows, such as 1h or 30min; empty: found in the data."
    )
    time_zone: str | None = Field(None, description="IANA zone of calendar features and of naive stamps.")
    lags: Literal["auto"] | list[Annotated[int, Field(ge=1, le=MAX_LAG_STEPS)]] = Field(
        "auto", description="Steps back in time."
    )
    known_future: list[ColumnName] | None = Field(
        None, max_length=2000, description="Features known ahead; empty: all."
    )
    interval_level: float = Field(0.9, gt=0, lt=1, description="Share that the interval must hold.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Same seed, same bytes.")
    threads: int = Field(1, ge=1, le=64, description="Threads of one training.")
    calendar: str | None = Field(
        None, description="Holidays of a country or subdivision, such as DE or AU-VIC."
    )
    loss: Literal["auto", "l1", "l2"] = Field(
        "auto", description="l1 for single meters, l2 for sums of many."
    )
    backtest_folds: int = Field(3, ge=0, le=52, description="Rolling origins of the backtest; 0: none.")
    labels: bool | None = Field(None, description="Anomaly: whether the target is a 0/1 label.")
    positive_label: str | None = Field(None, max_length=256, description="Word in the target that means 1.")
    repair: Literal["auto", "off"] = Field("auto", description="Correct faulty values, or only report them.")

    @field_validator("features", "known_future")
    @classmethod
    def _no_column_twice(cls, names: list[str] | None) -> list[str] | None:
        twice = sorted(name for name, times in Counter(names or ()).items() if times > 1)
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice. Name it once.")
        return names

    @field_validator("features", "known_future", "target", "timestamp", "series_id")
    @classmethod
    def _printable(cls, value: list[str] | str | None) -> list[str] | str | None:
        for name in [value] if isinstance(value, str) else value or []:
            if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in name):
                raise ValueError(f"{name!r} holds a control character. Rename the column.")
        return value

    @field_validator("lags")
    @classmethod
    def _lags_in_order(cls, lags: str | list[int]) -> str | list[int]:
        if isinstance(lags, str):
            return lags
        if not lags or len(lags) > 1000:  # noqa: PLR2004 - a thousand columns of lags is a mistake
            raise ValueError(
                f"needs between 1 and 1000 lags, got {len(lags)}. Write 'auto' to have them chosen."
            )
        if len(set(lags)) != len(lags):
            raise ValueError("a lag is named twice. Name each once.")
        return sorted(lags)

    @field_validator("frequency")
    @classmethod
    def _frequency_parses(cls, text: str | None) -> str | None:
        if text is not None:
            parse_frequency(text)
        return text

    @field_validator("time_zone", "timestamp_zone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(_unknown_zone(name)) from None
        return name

    @field_validator("calendar")
    @classmethod
    def _calendar_exists(cls, name: str | None) -> str | None:
        if name is None:
            return None
        from holidays import list_supported_countries  # noqa: PLC0415 - 20 ms that most callers do not need

        countries: dict[str, list[str]] = list_supported_countries(include_aliases=True)
        country, _, part = name.partition("-")
        if country not in countries:
            raise ValueError(
                f"no holidays are known for {country!r}.{did_you_mean(country.upper(), countries)} "
                "Write a country code such as 'DE', or country and subdivision such as 'AU-VIC'."
            )
        if part and part not in countries[country]:
            raise ValueError(
                f"{country} has no subdivision {part!r}.{did_you_mean(part.upper(), countries[country])} "
                f"Write {country!r} for the whole country."
            )
        return name

    def check_agreement(self) -> None:
        """Refuse columns with two roles, unknown future columns and a window that ends before it starts."""
        roles = {"target": self.target, "timestamp": self.timestamp, "series_id": self.series_id}
        names = [name for name in roles.values() if name is not None]
        if len(set(names)) != len(names):
            raise ConfigError(
                "target, timestamp and series_id must be different columns. Correct the names.",
                field="target",
            )
        for role, name in roles.items():
            if name in self.features:
                raise ConfigError(
                    f"field 'features': {name!r} is the {role}. Remove it; what it holds of the past is used anyway.",
                    field="features",
                )
        for name in self.known_future or ():
            if name not in self.features:
                raise ConfigError(
                    f"field 'known_future': {name!r} is not among the features."
                    f"{did_you_mean(name, self.features)} Add it to features or remove it here.",
                    field="known_future",
                )
        if self.first_timestamp is not None and self.frequency is None:
            raise ConfigError(
                "first_timestamp needs frequency. Add it, such as frequency: 30min.", field="frequency"
            )
        start, end = self.training_window
        if start is not None and end is not None and not start < end:
            raise ConfigError(
                f"training_start ({iso(start)}) is not before training_end ({iso(end)}). Swap them.",
                field="training_start",
            )

    @property
    def stamp_zone(self) -> str:
        """IANA zone of stamps that carry no offset."""
        return self.timestamp_zone or self.time_zone or "UTC"

    @property
    def calendar_zone(self) -> str:
        """IANA zone in which calendar features are computed."""
        return self.time_zone or "UTC"

    @property
    def training_window(self) -> tuple[datetime | None, datetime | None]:
        """`training_start` and `training_end` as aware UTC times."""
        return self._in_utc(self.training_start), self._in_utc(self.training_end)

    def _in_utc(self, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.stamp_zone))
        return aware.astimezone(UTC)

    def horizon_steps(self, frequency: timedelta) -> int:
        """Return the steps ahead for data of this frequency: `horizon`, or 24 hours' worth (at least 1)."""
        return self.horizon if self.horizon is not None else steps_per_day(frequency)


def _unknown_zone(name: str) -> str:
    from zoneinfo import available_timezones  # noqa: PLC0415 - lists a directory; needed for the hint only

    near = did_you_mean(name, available_timezones())
    return f"no time zone {name[:64]!r}.{near} Write an IANA name such as 'Europe/Berlin'."
