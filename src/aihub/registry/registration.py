"""What a version must be to be registered, and the semantic version that it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.errors import InputError
from aihub.registry.lineage import Lineage
from aihub.registry.records import Status
from aihub.registry.versioning import SemanticVersion, following
from aihub.store import models as model_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection


def next_semantic(
    connection: Connection, model_id: int, latest: Mapping[str, Any] | None, lineage: Lineage
) -> SemanticVersion:
    """Count from the last version that its gate let through: a rejected one changes nothing for anybody."""
    if latest is None:
        return following(None, None, lineage.identity)
    accepted = model_rows.latest_version(connection, model_id=model_id, without_status=Status.REJECTED.value)
    base = accepted or latest
    return following(
        SemanticVersion(base["major"], base["minor"], base["patch"]),
        Lineage.from_dict(base["lineage"]).identity,
        lineage.identity,
        lambda wanted: model_rows.has_semantic(connection, model_id=model_id, **wanted._asdict()),
    )


def checked_status(status: Status | str) -> Status:
    """Return the status as the enumeration has it; refuse any other word."""
    try:
        return Status(status)
    except ValueError:
        raise InputError(f"status {status!r} is not 'candidate' or 'rejected'") from None


def checked_report(report: Mapping[str, Any] | None, status: Status) -> dict[str, Any] | None:
    """Return the report to store; refuse one that says nothing, or the opposite of the status."""
    if report is None:
        return None
    body = dict(report)
    if "passed" not in body:
        raise InputError("the report has no field 'passed'; pass the report of the gate")
    if status is Status.CANDIDATE and body["passed"] is not True:
        raise InputError(
            "the report did not pass, so the version cannot be a candidate; register it as 'rejected'"
        )
    return body
