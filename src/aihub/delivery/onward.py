"""From a version that the gate let through to where its policy lets it go: staging, policy, approval, deploy, notify.

What training and validating jobs have in common. Every step is recorded in the transaction of its effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import deployments, operations, steps
from aihub.delivery.job_records import JobState
from aihub.delivery.orders import DeployOrder
from aihub.delivery.policy import ENVIRONMENTS
from aihub.store import models as model_rows
from aihub.store import outbox

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.lease import Lease
    from aihub.delivery.orders import Outcome
    from aihub.delivery.policy import DeliveryPolicy
    from aihub.delivery.runs import Run
    from aihub.registry.registry import Registry

COMPLETED_TOPIC = "notify.job.completed"
GATE_TOPIC = "notify.version.rejected"
STEPS = {"staging": "stage", "production": "deploy"}


@dataclass(frozen=True)
class Onward:
    """The second half of a job."""

    run: Run

    @property
    def lease(self) -> Lease:
        """Return the job as it was when it was claimed."""
        return self.run.lease

    @property
    def registry(self) -> Registry:
        """Return the registry of the job's tenant."""
        source = f"worker {self.lease.worker} job {self.lease.uid}"
        return self.run.hub.registry_of(self.lease.tenant, source)

    def bring(self, version: dict[str, Any], environments: list[str], *, sequence: int) -> None:
        """Bring a version through `environments`, and end the job; or leave it to wait, or to go on later.

        Parameters
        ----------
        version
            What the job says of it: ``model``, ``version`` (number), ``semantic``.
        sequence
            Champion of production that the gate compared it with; where another has come since it is not put in its place.
        """
        done = self.run.outputs()
        for environment in environments:
            step = STEPS[environment]
            expected = sequence if environment == "production" else None
            if done.get(step) is None and not self._deploy(environment, step, version, expected):
                return
        self._finish(version)

    def keep_report(self, connection: Connection, report: dict[str, Any]) -> str:
        """Store a report by the digest of its canonical form, which is returned."""
        from aihub.registry.versioning import digest_of

        digest = digest_of(report)
        model_rows.save_report(
            connection,
            tenant=self.lease.tenant,
            digest=digest,
            passed=report["passed"] is True,
            body=report,
            now=datetime.now(UTC),
        )
        return digest

    def tell(self, connection: Connection, topic: str, facts: dict[str, Any], now: datetime) -> None:
        """Put a notice of the job into the outbox; once per job and topic."""
        payload = {**facts, "job_id": self.lease.uid, "by": self.lease.submitted_by}
        outbox.put(
            connection, tenant=self.lease.tenant, topic=topic, key=self.lease.uid, payload=payload, now=now
        )

    def _deploy(self, environment: str, step: str, version: dict[str, Any], expected: int | None) -> bool:
        """Bring the version into an environment, as the policy says; False where the job does not go on now."""
        self.run.begin("policy" if step == "deploy" else step)
        order = DeployOrder(
            model=version["model"],
            version=version["version"],
            environment=environment,
            actor=self.lease.submitted_by,
            reason="the gate passed",
            key=f"{self.lease.uid}:{environment}",
            expected_sequence=expected,
            job_id=self.lease.job_id,
        )
        # Another machine may have made it; nothing is fetched while the transaction keeps others waiting.
        operations.bring(self.registry, order.model, order.version)
        now = datetime.now(UTC)
        with self.run.transaction() as connection:
            outcome = deployments.deploy(connection, self.registry, order, now)
            return self._record(connection, step, outcome, version)

    def _record(self, connection: Connection, step: str, outcome: Outcome, version: dict[str, Any]) -> bool:
        """Write down what came of it, in the same transaction; returns whether the job goes on."""
        went_on = outcome.state in ("deployed", "rolling_out")
        result = {**version, **_of(outcome)}
        if step == "deploy":
            self.run.finish(connection, "policy", note=outcome.reason)
            if outcome.approval is not None and outcome.state != "waiting":
                self.run.finish(connection, "approval", note=f"{outcome.approval.state}")
        if went_on:
            note = f"{version['semantic']} {outcome.state.replace('_', ' ')}"
            self.run.finish(connection, step, note=note, output=_of(outcome))
            return True
        if outcome.state == "waiting":
            name = "approval" if step == "deploy" else step
            steps.begin(connection, self.lease, name, now=datetime.now(UTC))
            self.run.end(connection, JobState.WAITING, step=name, gate_passed=True, result=result, attempts=0)
        elif outcome.state == "held" and outcome.until is not None:
            self._log(connection, step, f"{outcome.reason}; goes on then")
            self.run.end(
                connection,
                JobState.QUEUED,
                run_after=outcome.until,
                gate_passed=True,
                result=result,
                attempts=0,
            )
        else:
            self._log(connection, step, f"not deployed: {outcome.reason}")
            self.tell(connection, COMPLETED_TOPIC, result, datetime.now(UTC))
            self.run.end(connection, JobState.COMPLETED, gate_passed=True, result=result)
        return False

    def _log(self, connection: Connection, step: str, message: str) -> None:
        steps.write_log(connection, self.lease, [(datetime.now(UTC), "warning", step, message)])

    def _finish(self, version: dict[str, Any]) -> None:
        """Tell what came of it and end the job."""
        done = self.run.outputs()
        outcome = done.get("deploy") or done.get("stage") or {}
        result = {**version, **outcome}
        with self.run.transaction() as connection:
            self.tell(connection, COMPLETED_TOPIC, result, datetime.now(UTC))
            self.run.finish(connection, "notify", note="told")
            self.run.end(connection, JobState.COMPLETED, gate_passed=True, result=result)


def environments_up_to(policy: DeliveryPolicy, last: str) -> list[str]:
    """Return where a version goes: what the policy knows, up to what was asked for."""
    if last == "none":
        return []
    names = ENVIRONMENTS[: ENVIRONMENTS.index(last) + 1]
    return [name for name in names if policy.rule(name) is not None]


def _of(outcome: Outcome) -> dict[str, Any]:
    """Return what the job keeps of an outcome."""
    kept: dict[str, Any] = {"delivery": outcome.state, "reason": outcome.reason}
    if outcome.deployment is not None:
        kept |= {"environment": outcome.deployment.environment, "sequence": outcome.deployment.sequence}
    if outcome.approval is not None:
        kept["approval_id"] = outcome.approval.uid
    if outcome.rollout is not None:
        kept["rollout_id"] = outcome.rollout.uid
    return kept
