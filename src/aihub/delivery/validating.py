"""A validating job, step by step: data, validate, verdict, and on to stage, policy, approval, deploy, notify.

It judges a version that is there already, such as one that was trained elsewhere. Every step is recorded in the transaction of
its effect, as in a training job.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import approvals, datasets, fetching, rollouts, supervision
from aihub.delivery import validation_requests as requests
from aihub.delivery.job_records import JobState
from aihub.delivery.onward import COMPLETED_TOPIC, GATE_TOPIC, Onward, environments_up_to
from aihub.delivery.policy import ENVIRONMENTS
from aihub.delivery.run import incumbent_of
from aihub.delivery.standing import policy_of
from aihub.delivery.sweeping import owner_of
from aihub.delivery.validation_requests import ValidationWork
from aihub.errors import ConflictError
from aihub.registry import validations
from aihub.registry.queries import Queries
from aihub.registry.records import Status
from aihub.registry.validations import Effect, Finding
from aihub.store import models as model_rows

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from aihub.delivery.runs import Run
    from aihub.registry.records import Version

WHY = "a further validation rejected the version"


def validate(run: Run) -> None:
    """Carry a validating job on from where it is: to its end, to a wait for people, or to a later time."""
    job = _Validating(run, ValidationWork.model_validate(dict(run.lease.payload)))
    done = run.outputs()
    judged = done.get("validate") or job.judge()
    version = done.get("verdict") or job.decide(judged)
    if version["goes_on"]:
        environments = job.environments(version["uid"])
        job.onward.bring(version["said"], environments, sequence=judged["sequence"])


@dataclass(frozen=True)
class _Validating:
    run: Run
    work: ValidationWork

    @property
    def onward(self) -> Onward:
        return Onward(self.run)

    def environments(self, version_uid: str) -> list[str]:
        with self.run.reading() as connection:
            policy = policy_of(connection, version_uid)
        return environments_up_to(policy, self.work.request.environment)

    def judge(self) -> dict[str, Any]:
        """Have a child process judge the artefact on the table; keeps the report."""
        self.run.begin("data")
        hub, lease, request = self.run.hub, self.run.lease, self.work.request
        with self.run.reading() as connection:
            version = self._version(connection)
            spec = requests.spec_of(connection, version)
            dataset = datasets.get(connection, request.dataset_id, tenant=lease.tenant)
        champion = incumbent_of(self.onward.registry, version.model)
        # Compared with itself everything is as good as the champion: that says nothing.
        rival = champion if champion is not None and champion.digest != version.digest else None
        order = {
            "kind": lease.kind,
            "version": {
                **vars(requests.columns_of(request, version)),
                "label": str(version),
                "digest": version.digest,
                "lineage": version.lineage.to_dict(),
                "dataset": dataset.digest,
                "spec": spec.get("validation") or {},
                "asked": request.validation,
            },
            "data_name": dataset.name,
            "now": datetime.now(UTC).isoformat(),
            "incumbent": None if rival is None else vars(rival),
            "reports": str(hub.settings.home / "reports"),
            "memory_mb": hub.settings.job_memory_mb,
        }
        given: dict[str, Any] = {"tenant": lease.tenant, "owner": owner_of(lease), "check": self.run.check}
        data = {"dataset_id": dataset.digest}
        known = [version.digest, *([] if rival is None else [rival.digest])]
        with (
            hub.artifacts.workspace(known, check=self.run.check) as folder,
            fetching.held(hub.settings, hub.engine, data, backing=hub.dataset_backing, **given) as path,
        ):
            judged = supervision.make(self.run, {**order, "artifacts": str(folder), "data": str(path)})
        report = judged.pop("report")
        judged |= {
            "sequence": champion.sequence if champion else 0,
            "dataset": dataset.digest,
            "dataset_name": dataset.name,
        }
        note = "passed" if judged["passed"] is True else "failed"
        with self.run.transaction() as connection:
            judged["report_digest"] = self.onward.keep_report(connection, report)
            self.run.finish(connection, "validate", note=f"the gate {note}", output=judged)
        return judged

    def decide(self, judged: dict[str, Any]) -> dict[str, Any]:
        """Let the verdict change the version; where it does not let it through that is the end of the job."""
        registry, lease, now = self.onward.registry, self.run.lease, datetime.now(UTC)
        with self.run.transaction() as connection:
            model_rows.lock_model(connection, tenant=lease.tenant, name=self.work.model)
            version = self._version(connection)
            finding = Finding(
                report=self._report(connection, judged),
                dataset_digest=judged["dataset"],
                job=lease.uid,
                actor=lease.submitted_by,
                metrics=judged["metrics"],
                note=f"validated on {judged['dataset_name']} ({judged['dataset'][:12]}) by {lease.uid}",
                lift_reason=self._lift_reason(),
            )
            effect = validations.effect_on(connection, registry.tenant, version, finding)
            if effect is Effect.REJECTED:
                self._take_back(connection, version, now)
            version = validations.record(connection, registry, version, finding, effect=effect, now=now)
            goes_on = finding.passed and version.status is Status.CANDIDATE
            said = _said(version, judged, effect)
            output = {"uid": version.uid, "said": said, "goes_on": goes_on}
            note = f"{version}, {version.status}" + (f" ({said['reason']})" if said.get("reason") else "")
            self.run.finish(connection, "verdict", note=note, output=output)
            if not goes_on:
                topic = COMPLETED_TOPIC if finding.passed else GATE_TOPIC
                self.onward.tell(connection, topic, said, now)
                self.run.end(connection, JobState.COMPLETED, gate_passed=False, result=said)
        return output

    def _version(self, connection: Connection) -> Version:
        version = Queries(connection, self.run.lease.tenant).resolve(self.work.model, self.work.version)
        if version.digest != self.work.digest:
            raise ConflictError(
                f"{version} is not what it was when the validation was asked for; ask for it anew"
            )
        return version

    def _report(self, connection: Connection, judged: dict[str, Any]) -> dict[str, Any]:
        tenant, digest = self.run.lease.tenant, judged["report_digest"]
        return model_rows.report_body(connection, tenant=tenant, digest=digest) or {}

    def _lift_reason(self) -> str:
        """Return why a rejection is lifted; a job that somebody else has asked for again lifts none."""
        is_own = self.work.asked_by == self.run.lease.submitted_by
        return (self.work.request.lift_rejection or "") if is_own else ""

    def _take_back(self, connection: Connection, version: Version, now: datetime) -> None:
        """End what is under way for a version that the gate rejects: requests for approval, and rollouts."""
        registry, actor = self.onward.registry, self.run.lease.submitted_by
        approvals.withdraw_of_version(
            connection,
            version.uid,
            tenant=registry.tenant,
            actor=actor,
            reason=WHY,
            now=now,
            audit=registry.audit,
            source=registry.source,
        )
        for environment in ENVIRONMENTS:
            running = rollouts.active(connection, version.model, environment, tenant=registry.tenant)
            if running is not None and running.version_uid == version.uid:
                rollouts.stop(connection, registry, running.uid, actor=actor, reason=WHY, now=now)


def _said(version: Version, judged: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Return what the job says of the version."""
    passed = judged["passed"] is True
    said: dict[str, Any] = {
        "model": version.model,
        "version": version.number,
        "semantic": str(version.semantic),
        "status": version.status.value,
        "digest": version.digest,
        "report_digest": judged["report_digest"],
        "dataset_id": judged["dataset"],
        "gate_passed": passed,
        "effect": effect.value,
    }
    if passed and version.status is Status.REJECTED:
        said["reason"] = "it passed here, but an earlier rejection stands; an admin may lift it"
    if not passed and version.status is Status.CANDIDATE:
        said["reason"] = "it failed here and goes no further; what production has had keeps its state"
    return said
