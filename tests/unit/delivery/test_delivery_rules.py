"""Whatever people do in whatever order, the rules of delivery hold: a state machine against a real SQLite database."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aihub.delivery import approvals, deployments, due, rollouts
from aihub.delivery.orders import DeployOrder, RollbackOrder
from aihub.delivery.strategy import Live
from aihub.errors import ConflictError, ForbiddenError
from aihub.store.access_tables import audit
from aihub.store.engine import read, write
from aihub.store.job_tables import approvals as approval_table
from aihub.store.job_tables import decisions
from aihub.store.job_tables import rollouts as rollout_table
from aihub.store.tables import deployments as deployment_table
from aihub.store.tables import versions
from aihub.types import Role
from databases import sqlite_at
from orders import MODEL, NOW, register, registry_on, somebody

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
PEOPLE = ("ann", "bob", "carol", "dave", "Carol")
MAX_VERSIONS = 8
environments = st.sampled_from(["staging", "production", "production"])
people = st.sampled_from(PEOPLE)
deciders = st.sampled_from(["carol", "dave", "carol", "dave", "erin", *PEOPLE])
roles = st.sampled_from([Role.APPROVER, Role.APPROVER, Role.ADMIN, Role.DEPLOYER])
policies = st.sampled_from(
    [
        None,
        {"environments": {"production": {"approval": {"approvers": 2}}}},
        {"strategy": {"kind": "canary", "steps": [{"share": 0.1}, {"share": 0.5}]}},
        {"strategy": {"kind": "canary"}},
        {"strategy": {"kind": "shadow"}},
        {"freeze": [{"weekdays": ["sat", "sun"]}]},
        {"environments": {"staging": {"approval": {"role": "admin"}}, "production": {"approval": {}}}},
    ]
)
indexes = st.integers(0, 7)
LIVE = {
    "good": (
        Live(requests=1000, observations=100, error=1.0),
        Live(requests=1000, observations=100, error=1.0),
    ),
    "worse": (
        Live(requests=1000, observations=100, error=1.0),
        Live(requests=1000, observations=100, error=2.0),
    ),
    "unknown": (Live(), Live()),
}


class DeliveryRules(RuleBasedStateMachine):
    """One model of one tenant; `now` only goes forward."""

    @initialize()
    def begin(self) -> None:
        # In memory where the system has such a folder: every change waits for the disk otherwise.
        memory = Path("/dev/shm")  # noqa: S108 - only a folder for mkdtemp
        self.folder = Path(tempfile.mkdtemp(prefix="aihub-rules-", dir=memory if memory.exists() else None))
        self.engine = sqlite_at(self.folder / "hub.db")
        self.registry = registry_on(self.engine, self.folder)
        self.now = NOW
        self.made = 0
        self.register(passed=True, policy=None, maker="ann", same=False)
        for environment in ("staging", "production"):
            self.deploy(0, environment, "bob", Role.ADMIN, override=True, key=None)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            shutil.rmtree(self.folder)

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        with read(self.engine, tenant="default") as connection:
            return list(connection.execute(query).all())

    @contextmanager
    def attempt(self) -> Iterator[sa.Connection]:
        """A transaction that may be refused, and then has changed nothing."""
        self.now += timedelta(seconds=1)
        before = self.counts()
        try:
            with write(self.engine, tenant="default") as connection:
                yield connection
        except (ConflictError, ForbiddenError):
            assert self.counts() == before

    def counts(self) -> list[int]:
        tables = (audit, deployment_table, approval_table, decisions, rollout_table)
        each = (sa.select(sa.func.count()).select_from(table).scalar_subquery() for table in tables)
        return list(self.rows(sa.select(*each))[0])

    def version(self, index: int) -> int:
        return index % self.made + 1

    def pending(self) -> list[str]:
        query = sa.select(approval_table.c.uid).where(approval_table.c.state == "pending")
        return [row.uid for row in self.rows(query.order_by(approval_table.c.id))]

    def active(self) -> list[str]:
        return [
            row.uid
            for row in self.rows(sa.select(rollout_table.c.uid).where(rollout_table.c.state == "active"))
        ]

    @precondition(lambda self: getattr(self, "made", 0) < MAX_VERSIONS)
    @rule(
        passed=st.sampled_from([True, True, True, False, None]),
        policy=policies,
        maker=people,
        same=st.booleans(),
    )
    def register(self, *, passed: bool | None, policy: Any, maker: str, same: bool) -> None:
        content = {"content": b"the same artefact"} if same else {}
        register(self.registry, passed=passed, policy=policy, actor=maker, **content)
        self.made += 1

    @rule(
        index=indexes,
        environment=environments,
        actor=people,
        role=roles,
        override=st.booleans(),
        key=st.none() | indexes,
    )
    def deploy(
        self, index: int, environment: str, actor: str, role: Role, *, override: bool, key: int | None
    ) -> None:
        order = DeployOrder(
            model=MODEL,
            version=self.version(index),
            environment=environment,
            actor=actor,
            role=role,
            reason="better",
            # Overrides are rare, or nothing else would ever be seen.
            override=override and role is Role.ADMIN and index % 3 == 0,
            key=None if key is None else f"key-{key}",
        )
        with self.attempt() as connection:
            deployments.deploy(connection, self.registry, order, self.now)

    @precondition(lambda self: self.pending())
    @rule(index=indexes, who=deciders, role=roles, yes=st.sampled_from([True, True, True, False]))
    def decide(self, index: int, who: str, role: Role, *, yes: bool) -> None:
        pending = self.pending()
        with self.attempt() as connection:
            deployments.decide(
                connection,
                self.registry,
                pending[index % len(pending)],
                identity=somebody(who, role),
                decision="approve" if yes else "reject",
                reason="looked at it",
                now=self.now,
            )

    @precondition(lambda self: getattr(self, "made", 0) < MAX_VERSIONS)
    @rule(kind=st.sampled_from(["canary", "shadow"]), then=st.sampled_from(["", "rollback", "override"]))
    def a_newcomer_comes(self, kind: str, then: str) -> None:
        """Bring a version as far as a rollout, and perhaps change the champion beside it."""
        self.register(passed=True, policy={"strategy": {"kind": kind}}, maker="ann", same=False)
        self.deliver(self.made - 1, ["carol"], Role.APPROVER)
        if then == "rollback":
            self.rollback(None, "production")
        elif then == "override":
            self.deploy(0, "production", "bob", Role.ADMIN, override=True, key=None)

    @rule(
        index=indexes, who=st.lists(deciders, max_size=3), role=st.sampled_from([Role.APPROVER, Role.ADMIN])
    )
    def deliver(self, index: int, who: list[str], role: Role) -> None:
        """Go the usual way with a version as far as the people let it."""
        for environment in ("staging", "production"):
            self.deploy(index, environment, "bob", role, override=False, key=None)
            for one in who:
                if self.pending():
                    self.decide(-1, one, role, yes=True)

    @precondition(lambda self: self.pending())
    @rule(index=indexes)
    def withdraw(self, index: int) -> None:
        pending = self.pending()
        if index % 4:
            return
        with self.attempt() as connection:
            approvals.withdraw(
                connection,
                pending[index % len(pending)],
                tenant="default",
                actor="ann",
                reason="not now",
                now=self.now,
                audit=self.registry.audit,
            )

    @rule(index=st.none() | indexes, environment=environments)
    def rollback(self, index: int | None, environment: str) -> None:
        target = None if index is None else self.version(index)
        order = RollbackOrder(
            model=MODEL, actor="bob", reason="worse", target=target, environment=environment
        )
        with self.attempt() as connection:
            deployments.rollback(connection, self.registry, order, self.now)

    @rule(hours=st.sampled_from([1, 13, 30, 80]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        with write(self.engine, tenant="default") as connection:
            approvals.expire_due(connection, tenant="default", now=self.now, audit=self.registry.audit)
        due.carry_out_due(self.registry, self.now)

    @precondition(lambda self: self.active())
    @rule(how=st.sampled_from(sorted(LIVE)))
    def rollouts_go_on(self, how: str) -> None:
        due.advance_due(self.registry, self.now, lambda _rollout, _now: LIVE[how])

    @precondition(lambda self: self.active())
    @rule(who=people)
    def a_person_promotes(self, who: str) -> None:
        with self.attempt() as connection:
            rollouts.promote(
                connection, self.registry, self.active()[0], actor=who, reason="good", now=self.now
            )

    def history(self) -> list[Any]:
        query = (
            sa.select(deployment_table, versions.c.status, versions.c.digest, versions.c.number)
            .join(versions, versions.c.id == deployment_table.c.version_id)
            .order_by(deployment_table.c.id)
        )
        return self.rows(query)

    @invariant()
    def history_is_one_chain(self) -> None:
        if not hasattr(self, "engine"):
            return
        for environment in ("staging", "production"):
            chain = [row for row in self.history() if row.environment == environment]
            assert [row.sequence for row in chain] == list(range(1, len(chain) + 1))
            for earlier, later in pairwise(chain):
                assert (earlier.ended_at, earlier.ended_by) == (later.started_at, later.action)
            assert [row.ended_at is None for row in chain] == [False] * (len(chain) - 1) + [True] * bool(
                chain
            )

    @invariant()
    def what_the_gate_rejected_never_serves_without_an_override(self) -> None:
        if not hasattr(self, "engine"):
            return
        for row in self.history():
            is_override = bool((row.evidence or {}).get("override"))
            if row.status == "rejected":
                assert is_override
                assert row.action == "deploy"

    @invariant()
    def production_takes_what_was_in_staging_and_two_people_wanted(self) -> None:
        if not hasattr(self, "engine"):
            return
        staged: set[str] = set()
        for row in self.history():
            if row.environment == "staging":
                staged.add(row.digest)
                continue
            evidence = row.evidence or {}
            if row.action == "rollback" or evidence.get("override"):
                continue
            assert row.digest in staged or row.number in self.without_staging()
            self.four_eyes(evidence["approval"])

    def without_staging(self) -> set[int]:
        found = self.rows(sa.select(versions.c.number, versions.c.spec))
        return {
            row.number
            for row in found
            if "staging" not in ((row.spec or {}).get("policy", {}).get("environments", {"staging": {}}))
        }

    def four_eyes(self, uid: str) -> None:
        query = sa.select(approval_table, versions.c.created_by, versions.c.digest).join(
            versions, versions.c.id == approval_table.c.version_id
        )
        (asked,) = self.rows(query.where(approval_table.c.uid == uid))
        given = self.rows(sa.select(decisions).where(decisions.c.approval_id == asked.id))
        agreed = {row.principal.casefold() for row in given}
        assert asked.state == "approved"
        assert asked.artifact_digest == asked.digest
        assert all(row.decision == "approve" for row in given)
        assert len(agreed) == len(given) >= asked.rule["approvers"]
        assert not agreed & {asked.requested_by.casefold(), asked.created_by.casefold()}
        assert {row.role for row in given} <= {"admin", asked.rule["role"]}

    @invariant()
    def every_change_has_one_audit_event(self) -> None:
        if not hasattr(self, "engine"):
            return
        with read(self.engine, tenant="default") as connection:
            assert self.registry.audit.verify(connection, tenant="default").is_intact
        events = Counter(row.action for row in self.rows(sa.select(audit.c.action)))
        actions = Counter(row.action for row in self.history())
        asked = Counter(row.state for row in self.rows(sa.select(approval_table.c.state)))
        running = Counter(row.state for row in self.rows(sa.select(rollout_table.c.state)))
        (decided,) = self.rows(sa.select(sa.func.count()).select_from(decisions))[0]
        expected = {
            "version.registered": self.made,
            "model.deployed": actions["deploy"],
            "model.rolled_back": actions["rollback"],
            "approval.requested": asked.total(),
            "approval.decided": decided,
            "approval.expired": asked["expired"],
            "approval.withdrawn": asked["withdrawn"],
            "rollout.started": running.total(),
            "rollout.promoted": running["promoted"],
            "rollout.stopped": running["stopped"],
        }
        del events["rollout.stepped"]
        assert events == Counter({name: count for name, count in expected.items() if count})

    @invariant()
    def a_rollout_runs_beside_the_champion_that_it_is_compared_with(self) -> None:
        if not hasattr(self, "engine"):
            return
        with read(self.engine, tenant="default") as connection:
            for running in rollouts.all_active(connection, tenant="default"):
                champion = self.registry.serving(MODEL, running.environment)
                assert champion is not None
                assert champion.sequence == running.champion_sequence
                assert champion.version_uid != running.version_uid


TestDeliveryRules = DeliveryRules.TestCase
TestDeliveryRules.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
