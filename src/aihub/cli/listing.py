"""Tables of versions and deployments for people: the same for those of a hub elsewhere and of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aihub.cli.console import table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

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


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
