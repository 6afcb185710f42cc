"""What the policy has to know of a version, read from the tables. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.delivery import approval_records as approvals
from aihub.delivery.freeze import Freeze, frozen
from aihub.delivery.policy import (
    ApprovalRule,
    DeliveryPolicy,
    Standing,
    TenantRules,
    approval_rule,
    parse_policy,
)
from aihub.registry.records import Status
from aihub.store import approvals as rows
from aihub.store import deployments as deployment_rows
from aihub.store import rollouts as rollout_rows
from aihub.store import tenants
from aihub.store.job_tables import rollouts as rollout_table
from aihub.store.tables import versions

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.delivery.approval_records import Approval
    from aihub.registry.records import Version


@dataclass(frozen=True, kw_only=True)
class Known:
    """Policy of a version, rules of its tenant, where it stands, and the approval that it has."""

    policy: DeliveryPolicy
    rules: TenantRules
    standing: Standing
    approval: Approval | None


def tenant_rules(connection: Connection, tenant: str) -> TenantRules:
    """Return the rules of a tenant; the usual ones where it has none.

    Raises
    ------
    ConfigError
        They were written by hand and cannot be read: nothing is deployed until they can.
    """
    found = tenants.find(connection, tenant)
    return TenantRules.model_validate(dict(found.rules) if found else {})


def policy_of(connection: Connection, version_uid: str) -> DeliveryPolicy:
    """Return the policy that was kept with a version; the usual one where it was made without a spec."""
    _, _, spec = rows.gate_of(connection, version_uid=version_uid)
    return parse_policy((spec or {}).get("policy"))


def frozen_now(
    connection: Connection, tenant: str, version_uid: str, environment: str, now: datetime
) -> Freeze | None:
    """Return the freeze of tenant, policy or environment that holds now for a version."""
    policy = policy_of(connection, version_uid)
    rule = policy.rule(environment)
    own = rule.freeze if rule is not None else []
    return frozen([*tenant_rules(connection, tenant).freeze, *policy.freeze, *own], now)


def known_of(
    connection: Connection, version: Version, environment: str, *, tenant: str, sequence: int, now: datetime
) -> Known:
    """Read what `aihub.delivery.policy.next_step` decides on; `sequence` is that of the champion, 0 without one."""
    passed, status, spec = rows.gate_of(connection, version_uid=version.uid)
    policy = parse_policy((spec or {}).get("policy"))
    rules = tenant_rules(connection, tenant)
    asked = approval_rule(policy, rules, environment)
    approval = (
        None
        if asked is None
        else _holding(connection, version, environment, asked, tenant=tenant, sequence=sequence, now=now)
    )
    was_staged = deployment_rows.was_deployed(
        connection, tenant=tenant, model=version.model, environment="staging", digest=version.digest
    )
    standing = Standing(
        gate_passed=False if status == Status.REJECTED.value else passed,
        was_staged=was_staged,
        is_approved=approval is not None,
        has_champion=sequence > 0,
    )
    return Known(policy=policy, rules=rules, standing=standing, approval=approval)


def _holding(
    connection: Connection,
    version: Version,
    environment: str,
    asked: ApprovalRule,
    *,
    tenant: str,
    sequence: int,
    now: datetime,
) -> Approval | None:
    """Return a granted request that still holds: enough people by today's rules, not too old, and not used up.

    A deployment uses it up by moving the sequence that it was granted for; a rollout by having been started after it.
    """
    found = approvals.granted(connection, version, environment, tenant=tenant, sequence=sequence)
    if found is None or found.decided_at is None:
        return None
    enough = len(found.granted_by) >= asked.approvers and (asked.role in ("approver", found.rule.role))
    if not enough or now - found.decided_at > (found.expires_at - found.created_at):
        return None
    tried = rollout_rows.select(
        connection,
        rollout_table.c.environment == environment,
        rollout_table.c.started_at >= found.decided_at,
        versions.c.uid == version.uid,
        tenant=tenant,
        limit=1,
    )
    return None if tried else found
