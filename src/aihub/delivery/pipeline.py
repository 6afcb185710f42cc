"""A training job, step by step: data, train, validate, register, stage, policy, approval, deploy, notify.

Every step is recorded in the transaction of its effect. Whoever runs the job after a crash, an approval or an upgrade reads
what is recorded and goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aihub.delivery import datasets, fetching, supervision
from aihub.delivery.job_records import JobState
from aihub.delivery.jobs import JobRequest
from aihub.delivery.onward import GATE_TOPIC, Onward, environments_up_to
from aihub.delivery.policy import parse_policy
from aihub.delivery.run import incumbent_of
from aihub.delivery.sweeping import owner_of
from aihub.errors import DataError
from aihub.registry.lineage import Lineage
from aihub.store import models as model_rows

if TYPE_CHECKING:
    from aihub.delivery.lease import Lease
    from aihub.delivery.runs import Run

NEWEST_DATASETS = 100
"""How many of the newest data sets are looked at for a job that names none."""


def train(run: Run) -> None:
    """Carry a training job on from where it is: to its end, to a wait for people, or to a later time."""
    delivery = _Delivery(run, JobRequest.model_validate(dict(run.lease.payload)))
    done = run.outputs()
    made = done.get("validate") or delivery.make()
    version = done.get("register") or delivery.register(made)
    if made["passed"]:
        policy = parse_policy(delivery.request.policy)
        environments = environments_up_to(policy, delivery.request.environment)
        delivery.onward.bring(version, environments, sequence=made["sequence"])


@dataclass(frozen=True)
class _Delivery:
    run: Run
    request: JobRequest

    @property
    def lease(self) -> Lease:
        return self.run.lease

    @property
    def onward(self) -> Onward:
        return Onward(self.run)

    def make(self) -> dict[str, Any]:
        """Read, train and validate in a child process; keeps the report."""
        self.run.begin("data")
        data, name = self._data()
        hub, lease = self.run.hub, self.lease
        incumbent = incumbent_of(self.onward.registry, self.request.model)
        order = {
            "kind": lease.kind,
            "spec": self.request.spec.to_dict(),
            "data_name": name,
            "requested_by": lease.submitted_by,
            "now": datetime.now(UTC).isoformat(),
            "git_commit": self.request.git_commit,
            "incumbent": None if incumbent is None else vars(incumbent),
            "reports": str(hub.settings.home / "reports"),
            "memory_mb": hub.settings.job_memory_mb,
        }
        given: dict[str, Any] = {"tenant": lease.tenant, "owner": owner_of(lease), "check": self.run.check}
        known = [] if incumbent is None else [incumbent.digest]
        with (
            # At its end what was made is where all machines find it, before the step is recorded.
            hub.artifacts.workspace(known, check=self.run.check) as folder,
            fetching.held(hub.settings, hub.engine, data, backing=hub.dataset_backing, **given) as path,
        ):
            made = supervision.make(self.run, {**order, "artifacts": str(folder), "data": str(path)})
        report = made.pop("report")
        made["sequence"] = incumbent.sequence if incumbent else 0
        note = "passed" if made["passed"] else "failed"
        with self.run.transaction() as connection:
            made["report_digest"] = self.onward.keep_report(connection, report)
            self.run.finish(connection, "validate", note=f"the gate {note}", output=made)
        return made

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
        registry = self.onward.registry
        artifact = registry.artifacts.get(made["digest"])
        lease, passed = self.lease, made["passed"] is True
        now = datetime.now(UTC)
        with self.run.transaction() as connection:
            report = model_rows.report_body(connection, tenant=lease.tenant, digest=made["report_digest"])
            version = registry.register_in(
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
                self.onward.tell(connection, GATE_TOPIC, output, now)
                self.run.end(connection, JobState.COMPLETED, gate_passed=False, result=output)
        return output
