"""`POST /models/{name}/compare`: what differs between two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from aihub.api.bodies import JsonRoute
from aihub.api.context import ModelsReader
from aihub.api.problems import documented
from aihub.api.views import ModelName, VersionRef, VersionView
from aihub.errors import NotFoundError
from aihub.registry.queries import Queries
from aihub.store import models as model_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.engine import Connection

    from aihub.registry.records import Version

router = APIRouter(route_class=JsonRoute, tags=["versions"])
INCIDENTAL = {"requested_by", "created_at", "config_hash"}


class CompareBody(BaseModel):
    """Which two."""

    model_config = ConfigDict(extra="forbid")

    baseline: VersionRef
    candidate: VersionRef


class MetricChange(BaseModel):
    """One metric of both, as each was measured on its own validation data."""

    name: str
    baseline: float | None
    candidate: float | None
    change: float | None = Field(description="(candidate - baseline) / |baseline|; null where there is none.")


class Difference(BaseModel):
    """A field of the lineage that is not the same."""

    field: str
    baseline: Any
    candidate: Any


class CheckChange(BaseModel):
    """What a check of the gate said of both; null where it was not asked."""

    name: str
    baseline: str | None
    candidate: str | None


class Comparison(BaseModel):
    """What differs between two versions."""

    baseline: VersionView
    candidate: VersionView
    change: Literal["none", "data", "recipe", "contract"] = Field(
        description="The largest kind of difference: the contract that callers see, the recipe, or only the data."
    )
    metrics: list[MetricChange]
    lineage: list[Difference]
    gate: list[CheckChange]


@router.post("/models/{name}/compare", summary="Compare two versions", responses=documented(NotFoundError))
def compare(name: ModelName, body: CompareBody, who: ModelsReader) -> Comparison:
    """Compare metrics, lineage and what the gate said. Changes nothing, so that it takes no Idempotency-Key."""
    with who.reading() as connection:
        known = Queries(connection, who.tenant)
        one, other = known.resolve(name, body.baseline), known.resolve(name, body.candidate)
        reports = [_outcomes(connection, who.tenant, version) for version in (one, other)]
    return Comparison(
        baseline=VersionView.of(one),
        candidate=VersionView.of(other),
        change=_kind(one, other),
        metrics=list(_metrics(one.metrics, other.metrics)),
        lineage=list(_differences(one.lineage.to_dict(), other.lineage.to_dict())),
        gate=[
            CheckChange(name=check, baseline=reports[0].get(check), candidate=reports[1].get(check))
            for check in dict.fromkeys((*reports[0], *reports[1]))
        ],
    )


def _kind(one: Version, other: Version) -> Literal["none", "data", "recipe", "contract"]:
    if one.lineage.identity.contract != other.lineage.identity.contract:
        return "contract"
    if one.lineage.identity.recipe != other.lineage.identity.recipe:
        return "recipe"
    return "none" if one.digest == other.digest else "data"


def _metrics(one: Mapping[str, float], other: Mapping[str, float]) -> Iterator[MetricChange]:
    for name in sorted({*one, *other}):
        before, after = one.get(name), other.get(name)
        change = None if not before or after is None else (after - before) / abs(before)
        yield MetricChange(name=name, baseline=before, candidate=after, change=change)


def _differences(one: Any, other: Any, path: str = "") -> Iterator[Difference]:
    """Yield every leaf that differs, by its dotted path."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            if not path and name in INCIDENTAL:
                continue
            yield from _differences(one.get(name), other.get(name), f"{path}.{name}" if path else str(name))
    elif one != other:
        yield Difference(field=path, baseline=one, candidate=other)


def _outcomes(connection: Connection, tenant: str, version: Version) -> dict[str, str]:
    if version.report_digest is None:
        return {}
    report = model_rows.report_body(connection, tenant=tenant, digest=version.report_digest) or {}
    checks = report.get("results") or []
    return {str(check.get("name")): str(check.get("outcome")) for check in checks if isinstance(check, dict)}
