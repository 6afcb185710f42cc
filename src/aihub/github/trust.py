"""Which workflow may do what here: trust policies, matched exactly on what GitHub's token says. The matching is pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from aihub.errors import ConfigError
from aihub.settings import DEFAULT_TENANT
from aihub.training.strict import StrictModel
from aihub.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aihub.github.oidc import Claims

TRUSTED_ROLES = (Role.VIEWER, Role.TRAINER, Role.DEPLOYER)
"""Roles that a workflow may have, least first. None approves or administers: that takes a person."""
_ID = r"^[1-9][0-9]{0,19}$"
_WORKFLOW = re.compile(r"[^/\s]+/[^/\s]+/\.github/workflows/[^@\s]+\.ya?ml@\S+")


class TrustPolicy(StrictModel):
    """One kind of job that the hub trusts.

    Attributes
    ----------
    name
        Unique within the tenant.
    tenant
        Tenant in which the job acts.
    repository_id, repository_owner_id
        GitHub's ids, which stay with a repository when it is renamed and are never given to another:
        ``gh api repos/OWNER/REPO --jq '.id, .owner.id'``.
    roles
        What the job may do: viewer, trainer, deployer, or several of them (a deploy job that registers a model too is
        trainer and deployer).
    ref
        Exact git ref, such as ``refs/heads/main``. Only a viewer may be without.
    job_workflow_ref
        Exact workflow file and ref: ``OWNER/REPO/.github/workflows/model-training.yml@refs/heads/main``. Only a
        viewer may be without.
    environment
        Exact environment of the job; a deployer needs one. A policy without one does not match a job that has one.
    event_names
        Events that may start the run.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    tenant: str = Field(default=DEFAULT_TENANT, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    repository_id: str = Field(pattern=_ID)
    repository_owner_id: str = Field(pattern=_ID)
    roles: tuple[Role, ...] = Field(min_length=1, max_length=len(TRUSTED_ROLES))
    ref: str | None = Field(default=None, min_length=6, max_length=512)
    job_workflow_ref: str | None = Field(default=None, max_length=512)
    environment: str | None = Field(default=None, min_length=1, max_length=255)
    event_names: tuple[str, ...] = Field(default=("push", "schedule", "workflow_dispatch"), min_length=1)

    @field_validator("ref", "job_workflow_ref", "environment")
    @classmethod
    def _exact(cls, value: str | None) -> str | None:
        if value is not None and ("*" in value or not value.isprintable()):
            raise ValueError("is matched exactly: no pattern, no control character")
        return value

    @field_validator("job_workflow_ref")
    @classmethod
    def _names_a_file(cls, value: str | None) -> str | None:
        if value is not None and not _WORKFLOW.fullmatch(value):
            raise ValueError("has the form OWNER/REPO/.github/workflows/FILE.yml@refs/heads/BRANCH")
        return value

    def check_agreement(self) -> None:
        """Refuse a policy that would trust more than its author can have meant."""
        wrong = [role for role in self.roles if role not in TRUSTED_ROLES]
        if wrong:
            message = (
                f"a workflow cannot be {wrong[0]}: give viewer, trainer or deployer; approving takes a person"
            )
            raise ConfigError(message, field="roles")
        if self.roles != (Role.VIEWER,) and not (self.ref and self.job_workflow_ref):
            message = "whoever writes needs an exact --ref and --workflow: without them any branch of the repository could act"
            raise ConfigError(message, field="ref")
        if Role.DEPLOYER in self.roles and not self.environment:
            message = "a deployer needs --environment, so that GitHub's own protection rules stand before it"
            raise ConfigError(message, field="environment")

    def mismatch(self, claims: Claims) -> str:
        """Return the first thing in which a job is not what the policy trusts; empty where it matches."""
        exact = ("repository_id", "repository_owner_id", "environment", "ref", "job_workflow_ref")
        for name in exact:
            wanted, is_so = getattr(self, name), getattr(claims, name)
            if wanted != is_so and not (wanted is None and name in {"ref", "job_workflow_ref"}):
                return f"{name} is {is_so!r}, not {wanted!r}"
        if claims.event_name not in self.event_names:
            return f"event {claims.event_name!r} is not one of {', '.join(self.event_names)}"
        return ""

    def roles_for(self, claims: Claims) -> frozenset[Role]:
        """Roles of a job that matches: read-only wherever the event lets others than writers choose the code."""
        return frozenset(self.roles) if claims.may_write else frozenset({Role.VIEWER})


def choose(
    policies: Iterable[TrustPolicy], claims: Claims, *, tenant: str | None = None
) -> list[TrustPolicy]:
    """Return the policies of one tenant that a job matches.

    Raises
    ------
    LookupError
        None matches, or those that do are of several tenants and `tenant` does not say which is meant. The message
        says why, for the log.
    """
    own = [policy for policy in policies if tenant in {None, policy.tenant}]
    found = [policy for policy in own if not policy.mismatch(claims)]
    if not found:
        near = [policy for policy in own if policy.repository_id == claims.repository_id]
        why = "; ".join(f"{policy.name}: {policy.mismatch(claims)}" for policy in near[:5])
        raise LookupError(why or f"no policy for repository_id {claims.repository_id}")
    if len({policy.tenant for policy in found}) > 1:
        raise LookupError("policies of several tenants match; ask with a tenant")
    return found
