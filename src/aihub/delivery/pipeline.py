"""A training job, step by step: data, train, validate, register, stage, policy, approval, deploy, notify.

Every step is recorded in the transaction of its effect. Whoever runs the job after a crash, an approval or an upgrade reads
what is recorded and goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import datasets, deployments, fetching, supervision
from aihub.delivery.job_records import JobState
from aihub.delivery.jobs import JobRequest
from aihub.delivery.orders import DeployOrder
from aihub.delivery.policy import ENVIRONMENTS, parse_policy
from aihub.delivery.run import incumbent_of
from aihub.delivery.sweeping import owner_of
from aihub.errors import DataError
from aihub.registry.lineage import Lineage
from aihub.store import models as model_rows
from aihub.store import outbox

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.lease import Lease
    from aihub.delivery.orders import Outcome
    from aihub.delivery.runs import Run
    from aihub.registry.registry import Registry

NEWEST_DATASETS = 100
"""How many of the newest data sets are looked at for a job that names none."""
COMPLETED_TOPIC = "notify.job.completed"
GATE_TOPIC = "notify.version.rejected"


def train(run: Run) -> None:
    """Carry a training job on from where it is: to its end, to a wait for people, or to a later time."""
    delivery = _Delivery(run, JobRequest.model_validate(dict(run.lease.payload)))
    done = run.outputs()
    made = done.get("validate") or delivery.make()
    version = done.get("register") or delivery.register(made)
    if not made["passed"]:
        return
    for environment in delivery.environments:
        step = _STEPS[environment]
        outcome = done.get(step)
        if outcome is None and not delivery.deploy(environment, step, version, made):
            return
    delivery.finish(version)


_STEPS = {"staging": "stage", "production": "deploy"}


@dataclass(frozen=True)
class _Delivery:
    run: Run
    request: JobRequest

    @property
    def lease(self) -> Lease:
        return self.run.lease

    @property
    def registry(self) -> Registry:
        source = f"worker {self.lease.worker} job {self.lease.uid}"
        return self.run.hub.registry_of(self.lease.tenant, source)

    @property
    def environments(self) -> list[str]:
        """Where the version goes: what the policy knows, up to what was asked for."""
        if self.request.environment == "none":
            return []
        policy = parse_policy(self.request.policy)
        last = ENVIRONMENTS.index(self.request.environment)
        return [name for name in ENVIRONMENTS[: last + 1] if policy.rule(name) is not None]

    def make(self) -> dict[str, Any]:
        """Read, train and validate in a child process; keeps the report."""
        self.run.begin("data")
        data, name = self._data()
        hub, lease = self.run.hub, self.lease
        incumbent = incumbent_of(self.registry, self.request.model)
        order = {
            "spec": self.request.spec.to_dict(),
            "data_name": name,
            "requested_by": lease.submitted_by,
            "now": datetime.now(UTC).isoformat(),
            "git_commit": self.request.git_commit,
            "incumbent": None if incumbent is None else vars(incumbent),
            "artifacts": str(hub.settings.artifacts_dir),
            "reports": str(hub.settings.home / "reports"),
            "memory_mb": hub.settings.job_memory_mb,
        }
        given: dict[str, Any] = {"tenant": lease.tenant, "owner": owner_of(lease), "check": self.run.check}
        with fetching.held(hub.settings, hub.engine, data, **given) as path:
            made = supervision.make(self.run, {**order, "data": str(path)})
        report = made.pop("report")
        made["sequence"] = incumbent.sequence if incumbent else 0
        note = "passed" if made["passed"] else "failed"
        with self.run.transaction() as connection:
            made["report_digest"] = self._keep_report(connection, report)
            self.run.finish(connection, "validate", note=f"the gate {note}", output=made)
        return made

    def _keep_report(self, connection: Connection, report: dict[str, Any]) -> str:
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

    def _data(self) -> tuple[dict[str, str], str]:
        """Return what names the job's data, and its name for people."""
        tenant = self.lease.tenant
        wanted = self.request.data
        if wanted is not None and wanted.dataset_id is None:
            named = wanted.model_dump(exclude_none=True)
            return named, (wanted.url or wanted.path or "").partition("?")[0].rpartition("/")[2]
        if wanted is not None and wanted.dataset_id is not None:
            with self.run.reading() as connection:
                dataset = datasets.get(connection, wanted.dataset_id, tenant=tenant)
            return {"dataset_id": dataset.digest}, dataset.name
        config = self.request.config
        columns = {config.target, *config.features, *([config.series_id] if config.series_id else [])}
        with self.run.reading() as connection:
            known = datasets.list_page(connection, tenant=tenant, limit=NEWEST_DATASETS)
        for _, dataset in known:
            if columns <= set(dataset.columns):
                return {"dataset_id": dataset.digest}, dataset.name
        raise DataError(
            f"the job names no data, and no data set of tenant {tenant!r} has the columns {', '.join(sorted(columns))}; "
            'upload one (POST /ai/datasets), or name it: "data": {"dataset_id": ...}, {"path": ...} or {"url": ...}'
        )

    def register(self, made: dict[str, Any]) -> dict[str, Any]:
        """Make the version; where the gate failed that is the end of the job."""
        artifact = self.registry.artifacts.get(made["digest"])
        lease, passed = self.lease, made["passed"] is True
        now = datetime.now(UTC)
        with self.run.transaction() as connection:
            report = model_rows.report_body(connection, tenant=lease.tenant, digest=made["report_digest"])
            version = self.registry.register_in(
                connection,
                self.request.model,
                artifact,
                Lineage.from_dict(made["lineage"]),
                status="candidate" if passed else "rejected",
                actor=lease.submitted_by,
                now=now,
                report=report,
                metrics=made["metrics"],
                notes=made["notes"],
                spec=self.request.spec.to_dict(),
                key=f"job:{lease.uid}",
            )
            output = {
                "model": version.model,
                "version": version.number,
                "semantic": str(version.semantic),
                "status": version.status.value,
                "digest": version.digest,
                "report_digest": version.report_digest,
                "gate_passed": passed,
            }
            self.run.finish(connection, "register", note=f"{version}, {version.status}", output=output)
            if not passed:
                self._tell(connection, GATE_TOPIC, output, now)
                self.run.end(connection, JobState.COMPLETED, gate_passed=False, result=output)
        return output

    def deploy(self, environment: str, step: str, version: dict[str, Any], made: dict[str, Any]) -> bool:
        """Bring the version into an environment, as the policy says; False where the job does not go on now."""
        self.run.begin("policy" if step == "deploy" else step)
        order = DeployOrder(
            model=version["model"],
            version=version["version"],
            environment=environment,
            actor=self.lease.submitted_by,
            reason="the gate passed",
            key=f"{self.lease.uid}:{environment}",
            # The gate compared it with this champion; where another has come since it is not put in its place.
            expected_sequence=made["sequence"] if environment == "production" else None,
            job_id=self.lease.job_id,
        )
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
            self._begin_in(connection, name)
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
            self._tell(connection, COMPLETED_TOPIC, result, datetime.now(UTC))
            self.run.end(connection, JobState.COMPLETED, gate_passed=True, result=result)
        return False

    def _begin_in(self, connection: Connection, name: str) -> None:
        from aihub.delivery import steps

        steps.begin(connection, self.lease, name, now=datetime.now(UTC))

    def _log(self, connection: Connection, step: str, message: str) -> None:
        from aihub.delivery import steps

        steps.write_log(connection, self.lease, [(datetime.now(UTC), "warning", step, message)])

    def finish(self, version: dict[str, Any]) -> None:
        """Tell what came of it and end the job."""
        done = self.run.outputs()
        outcome = done.get("deploy") or done.get("stage") or {}
        result = {**version, **outcome}
        with self.run.transaction() as connection:
            self._tell(connection, COMPLETED_TOPIC, result, datetime.now(UTC))
            self.run.finish(connection, "notify", note="told")
            self.run.end(connection, JobState.COMPLETED, gate_passed=True, result=result)

    def _tell(self, connection: Connection, topic: str, facts: dict[str, Any], now: datetime) -> None:
        payload = {**facts, "job_id": self.lease.uid, "by": self.lease.submitted_by}
        outbox.put(
            connection, tenant=self.lease.tenant, topic=topic, key=self.lease.uid, payload=payload, now=now
        )


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
