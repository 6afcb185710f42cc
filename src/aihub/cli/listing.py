"""Tables of versions and deployments for people: the same for those of a hub elsewhere and of this folder."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from aihub.cli.console import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aihub import client
    from aihub.registry import records


def versions(found: Iterable[tuple[int, records.Version | client.Version, str]]) -> None:
    """Print versions, each with its number and the environments that it serves in."""
    table(
        ["version", "semantic", "status", "serves", "mae or f1", "commit", "made (UTC)", "by"],
        [
            [
                number,
                version.semantic,
                version.status,
                serves,
                version.metrics.get("mae", version.metrics.get("f1_score")),
                (version.git_commit or "")[:10],
                _minute(version.created_at),
                version.created_by,
            ]
            for number, version, serves in found
        ],
    )


def deployments(found: Iterable[records.Deployment | client.Deployment]) -> None:
    """Print what served, from when to when, who put it there and why."""
    table(
        ["version", "semantic", "environment", "action", "from (UTC)", "to (UTC)", "who", "why"],
        [
            [
                deployment.version,
                deployment.semantic,
                deployment.environment,
                deployment.action,
                _minute(deployment.started_at),
                _minute(deployment.ended_at),
                deployment.actor,
                deployment.reason,
            ]
            for deployment in found
        ],
    )


def beside(rollout: Mapping[str, Any]) -> str:
    """Say of a rollout under way what it is, how much it answers, and since when.

    >>> beside({"strategy": "canary", "share": 0.05, "since": "2026-03-02T08:30:00Z"})
    'canary 5 % since 2026-03-02 08:30'
    """
    since = rollout["since"]
    since = datetime.fromisoformat(since) if isinstance(since, str) else since
    share = f" {100 * float(rollout['share']):g} %" if rollout["strategy"] == "canary" else ""
    return f"{rollout['strategy']}{share} since {_minute(since)}"


def serves(
    serving: Iterable[Mapping[str, Any]], rollouts: Iterable[Mapping[str, Any]], environment: str
) -> str | None:
    """Say what serves in an environment, and what runs beside it."""
    words = [str(one["semantic"]) for one in serving if one["environment"] == environment]
    words += [f"{one['semantic']} ({beside(one)})" for one in rollouts if one["environment"] == environment]
    return ", ".join(words) or None


def places(serving: Iterable[Mapping[str, Any]], rollouts: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Say by number of the version where it serves, or runs beside what does."""
    found: dict[int, list[str]] = {}
    for one in serving:
        found.setdefault(int(one["version"]), []).append(str(one["environment"]))
    for one in rollouts:
        found.setdefault(int(one["version"]), []).append(f"{one['environment']} ({beside(one)})")
    return {number: ", ".join(words) for number, words in found.items()}


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
