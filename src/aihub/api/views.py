"""What the registry's answers look like: typed, so that OpenAPI is complete."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, WithJsonSchema

from aihub.api.problems import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aihub.registry.records import Deployment, Version

_REFERENCE = r"^[A-Za-z0-9.]{1,64}$"
_MAX_NUMBER = 2**31 - 1
NameText = Annotated[str, Field(pattern=NAME)]
NameFilter = Annotated[str | None, Query(pattern=NAME)]
ModelName = Annotated[str, Path(pattern=NAME, description="Name of the model.", examples=["load"])]
Reference = Annotated[
    str,
    Path(
        pattern=_REFERENCE,
        description="A version: its number, `v1.2.3`, or at least 7 digits of its git commit.",
        examples=["v1.2.3"],
    ),
]


def _names_a_version(value: object) -> object:
    # One complaint, and not one a branch of the union; `true` is no version 1.
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_NUMBER
    if not is_number and not (isinstance(value, str) and re.fullmatch(_REFERENCE, value)):
        raise ValueError("give a version: its number, `v1.2.3` or a git commit")
    return value


VersionRef = Annotated[
    str | int,
    BeforeValidator(_names_a_version),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _REFERENCE},
                {"type": "integer", "minimum": 1, "maximum": _MAX_NUMBER},
            ],
            "description": "Number, `v1.2.3` or git commit.",
        }
    ),
]
"""A version in a body."""
Uid = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Id as it was given out.")]
Environment = Annotated[str | None, Query(pattern=NAME, description="Only this environment.")]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is outside the years 1 to 9999") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its zone, such as `2026-01-02T03:04:05Z`."""


class Serving(BaseModel):
    """What serves in one environment."""

    environment: str
    version: int = Field(description="Number of the version.")
    semantic: str = Field(description="Semantic version.")
    sequence: int = Field(description="Number of the deployment in this environment.")
    since: datetime


class Beside(BaseModel):
    """A version that runs beside the champion of an environment."""

    id: str = Field(description="Rollout, as under `/models/{name}/rollouts`.")
    environment: str
    version: int = Field(description="Number of the version.")
    semantic: str = Field(description="Semantic version.")
    strategy: Literal["canary", "shadow"]
    share: float = Field(description="Share of the requests that it answers; 0 for a shadow.")
    since: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Beside:
        """Render a row of `aihub.store.rollouts.select_active`."""
        return cls(
            id=row["uid"],
            environment=row["environment"],
            version=row["number"],
            semantic=f"v{row['major']}.{row['minor']}.{row['patch']}",
            strategy=row["strategy"],
            share=row["share"],
            since=row["started_at"],
        )


class ModelView(BaseModel):
    """A model and what of it serves."""

    name: str
    created_at: datetime
    versions: int = Field(description="How many versions it has.")
    serving: list[Serving] = Field(description="The champion of each environment.")
    rollouts: list[Beside] = Field(description="Canaries and shadows that run beside a champion now.")

    @classmethod
    def of(
        cls,
        row: Mapping[str, Any],
        champions: Sequence[Mapping[str, Any]],
        rollouts: Sequence[Mapping[str, Any]],
    ) -> ModelView:
        """Render a row of `aihub.store.models.page_of_models`, with what serves and runs beside it of any model."""
        return cls(
            name=row["name"],
            created_at=row["created_at"],
            versions=row["latest"],
            serving=[
                Serving(
                    environment=c["environment"],
                    version=c["number"],
                    semantic=f"v{c['major']}.{c['minor']}.{c['patch']}",
                    sequence=c["sequence"],
                    since=c["started_at"],
                )
                for c in champions
                if c["model_id"] == row["id"]
            ],
            rollouts=[Beside.of(found) for found in rollouts if found["model_id"] == row["id"]],
        )


class VersionView(BaseModel):
    """A trained artefact."""

    model: str
    version: int = Field(description="Number within the model: 1, 2, 3.")
    semantic: str = Field(description="Semantic version, computed from the lineage.")
    git_commit: str | None
    status: Literal["candidate", "rejected"] = Field(description="What the gate said.")
    digest: str = Field(description="SHA-256 of the artefact.")
    size_bytes: int
    kind: str
    metrics: dict[str, float]
    notes: list[str]
    report_digest: str | None
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, version: Version) -> VersionView:
        """Render a version without its lineage, which has an address of its own."""
        return cls.model_validate(version.to_dict())


class LineageView(BaseModel):
    """Where a version comes from."""

    config: dict[str, Any]
    data: dict[str, Any]
    seed: int | None
    requested_by: str
    created_at: datetime
    git_commit: str | None
    git_dirty: bool | None
    packages: dict[str, str]
    config_hash: str


class DeploymentView(BaseModel):
    """A version put into an environment by somebody for a reason."""

    model: str
    version: int
    semantic: str
    digest: str
    environment: str
    sequence: int = Field(description="1, 2, 3 within model and environment.")
    action: Literal["deploy", "rollback"]
    actor: str
    reason: str
    started_at: datetime
    ended_at: datetime | None
    ended_by: Literal["deploy", "rollback"] | None
    served_s: float = Field(description="Seconds that it served, or has served so far.")

    @classmethod
    def of(cls, deployment: Deployment, now: datetime) -> DeploymentView:
        """Render a deployment."""
        end = deployment.ended_at or now
        served = max(0.0, (end - deployment.started_at).total_seconds())
        return cls.model_validate({**deployment.to_dict(), "served_s": round(served, 3)})
