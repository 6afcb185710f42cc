"""Models: versions, deployments, predictions, and how well they do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.client import commit, files
from aihub.client.connection import path_of
from aihub.client.records import Deployment, Job, Model, Outcome, Rollout, Validation, Version
from aihub.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from aihub.client.connection import Connection

PRODUCTION = "production"
_DOWNLOAD_TRIES = 3
_NEWEST = 500
"""Versions in which one of a commit is looked for."""
_LONG_S = 600.0
"""Longest silence of what takes its time: a model that is examined, two that are compared."""


@dataclass(frozen=True)
class Models:
    """`Client.models`. A version is named by its number, ``v1.2.3`` or git commit."""

    _connection: Connection

    def list(self, *, limit: int | None = None) -> Iterator[Model]:
        """Yield the models of the tenant by name."""
        return map(Model.of, self._connection.pages("/models", limit=limit))

    def get(self, name: str) -> Model:
        """Return a model and what of it serves."""
        return Model.of(self._connection.get(path_of("models", name)))

    def versions(self, name: str, *, limit: int | None = None) -> Iterator[Version]:
        """Yield the versions of a model, newest first."""
        return map(Version.of, self._connection.pages(path_of("models", name, "versions"), limit=limit))

    def version(self, name: str, version: str | int) -> Version:
        """Return one version."""
        return Version.of(self._connection.get(path_of("models", name, "versions", version)))

    def find(self, name: str, version: str | int) -> Version:
        """Return one version; of several of one git commit the newest that its gate let through."""
        if isinstance(version, str) and commit.COMMIT.fullmatch(version):
            for one in self.versions(name, limit=_NEWEST):
                if one.git_commit == version and one.status != "rejected":
                    return one
        return self.version(name, version)

    def report(self, name: str, version: str | int, *, digest: str | None = None) -> dict[str, Any]:
        """Return the gate's report as JSON: what decided the version's state, or with `digest` that of a validation."""
        path = path_of("models", name, "versions", version, "report")
        report: dict[str, Any] = self._connection.get(path, digest=digest)
        return report

    def validate(
        self,
        name: str,
        version: str | int,
        *,
        dataset_id: str,
        environment: str = "none",
        key: str | None = None,
        **more: Any,
    ) -> Job:
        """Ask for a validation of a version on a dataset and return the job as it was accepted.

        Parameters
        ----------
        dataset_id
            From `Datasets.upload`: rows that the model has not seen, with what really happened.
        environment
            How far the version goes when its gate passed; ``none``: it is only judged.
        **more
            Further fields of the request: ``validation``, ``target``, ``timestamp``, ``series_id``, ``lift_rejection``.

        Raises
        ------
        NotFoundError
            The tenant has no such version or dataset.
        InputError
            A column is missing, or a threshold is wrong.
        """
        body = {"dataset_id": dataset_id, "environment": environment, **more}
        given = {field: value for field, value in body.items() if value is not None}
        path = path_of("models", name, "versions", version, "validations")
        return Job.of(self._connection.send("POST", path, given, key=key))

    def validations(self, name: str, version: str | int, *, limit: int | None = None) -> Iterator[Validation]:
        """Yield the validations of a version, newest first."""
        path = path_of("models", name, "versions", version, "validations")
        return map(Validation.of, self._connection.pages(path, limit=limit))

    def lineage(self, name: str, version: str | int) -> dict[str, Any]:
        """Return data, code, configuration and environment of a version."""
        lineage: dict[str, Any] = self._connection.get(
            path_of("models", name, "versions", version, "lineage")
        )
        return lineage

    def changelog(self, name: str) -> str:
        """Return what changed with every version, in Markdown, newest first."""
        return self._connection.text(path_of("models", name, "changelog"), "text/markdown")

    def bom(self, name: str, version: str | int) -> dict[str, Any]:
        """Return the bill of materials of a version: CycloneDX with a model card."""
        bill: dict[str, Any] = self._connection.get(path_of("models", name, "versions", version, "bom"))
        return bill

    def signatures(self, name: str, version: str | int) -> dict[str, Any]:
        """Return the signatures of a version, and whether one of a key that the hub trusts holds for it as it is now."""
        path = path_of("models", name, "versions", version, "signatures")
        found: dict[str, Any] = self._connection.get(path)
        return found

    def download(self, name: str, version: str | int, target: Path | str) -> Version:
        """Write the artefact of a version to the file `target`, checked against its digest.

        Raises
        ------
        ArtifactError
            What arrived is not what was registered; nothing is written.
        """
        found = self.version(name, version)
        path = path_of("models", name, "versions", found.version, "artifact")
        for left in reversed(range(_DOWNLOAD_TRIES)):
            try:
                with self._connection.stream(path, headers={"Accept": "*/*"}) as response:
                    files.receive(response.iter_bytes(), Path(target), found.digest)
                break
            except UnavailableError:
                if not left:
                    raise
        return found

    def register(
        self,
        name: str,
        artifact: Path | str,
        *,
        git_commit: str | None = None,
        key: str | None = None,
        **more: Any,
    ) -> Version:
        """Register a model that was trained elsewhere; the hub examines the file before it believes it.

        Parameters
        ----------
        artifact
            A file of the hub's own form, a LightGBM or XGBoost model, or a pickle of one.
        git_commit
            Kept in the lineage; None: `GITHUB_SHA`, else that of the folder.
        **more
            What the file does not say: ``model_type``, ``target``.
        """
        file = Path(artifact)
        digest = files.digest_of(file)
        document = self._connection.upload(
            path_of("models", name, "versions"),
            lambda: files.opened(file),
            headers={"Content-Type": "application/octet-stream", "X-Content-SHA256": digest},
            key=key,
            timeout_s=_LONG_S,
            git_commit=git_commit or commit.current(),
            **more,
        )
        return Version.of(document)

    def deploy(
        self,
        name: str,
        version: str | int,
        *,
        reason: str,
        environment: str = PRODUCTION,
        key: str | None = None,
        **more: Any,
    ) -> Outcome:
        """Put a version into an environment, or have those asked who must agree.

        Parameters
        ----------
        **more
            Further fields of the request: ``expected_sequence``, ``override``.

        Raises
        ------
        ConflictError
            Its gate rejected the version, the policy refuses it, or another one was deployed meanwhile.
        """
        body = {"version": str(version), "environment": environment, "reason": reason, **more}
        path = path_of("models", name, "deployments")
        return Outcome.of(self._connection.send("POST", path, body, key=key, timeout_s=_LONG_S))

    def rollback(
        self,
        name: str,
        target_version: str | int | None = None,
        *,
        reason: str = "",
        environment: str = PRODUCTION,
        key: str | None = None,
    ) -> Deployment:
        """Go back to `target_version`; without one, to the last that served and was not rolled back itself."""
        body = {
            "target_version": None if target_version is None else str(target_version),
            "environment": environment,
            "reason": reason,
        }
        given = {field: value for field, value in body.items() if value}
        document = self._connection.send("POST", path_of("models", name, "rollback"), given, key=key)
        return Deployment.of(document)

    def deployments(
        self, name: str, *, environment: str | None = None, limit: int | None = None
    ) -> Iterator[Deployment]:
        """Yield what was deployed, newest first: what, when, who, why, how long it served."""
        pages = self._connection.pages(
            path_of("models", name, "deployments"), limit=limit, environment=environment
        )
        return map(Deployment.of, pages)

    def rollouts(self, name: str, *, limit: int | None = None) -> Iterator[Rollout]:
        """Yield the canaries and shadows of a model, newest first."""
        return map(Rollout.of, self._connection.pages(path_of("models", name, "rollouts"), limit=limit))

    def promote(self, name: str, rollout_id: str, *, reason: str, key: str | None = None) -> Deployment:
        """End a rollout with the newcomer as champion.

        Raises
        ------
        ConflictError
            The rollout is over.
        """
        path = path_of("models", name, "rollouts", rollout_id, "promote")
        return Deployment.of(self._connection.send("POST", path, {"reason": reason}, key=key))

    def stop_rollout(self, name: str, rollout_id: str, *, reason: str, key: str | None = None) -> Rollout:
        """End a rollout without the newcomer: the champion answers everything again.

        Raises
        ------
        ConflictError
            The rollout is over.
        """
        path = path_of("models", name, "rollouts", rollout_id, "stop")
        return Rollout.of(self._connection.send("POST", path, {"reason": reason}, key=key))

    def compare(self, name: str, baseline: str | int, candidate: str | int) -> dict[str, Any]:
        """Say what differs between two versions: metrics, and the fields of their lineage."""
        body = {"baseline": str(baseline), "candidate": str(candidate)}
        answer: dict[str, Any] = self._connection.send("POST", path_of("models", name, "compare"), body)
        return answer

    def schema(self, name: str, *, environment: str = PRODUCTION) -> dict[str, Any]:
        """Say what the version that serves in `environment` takes: its kind, and its columns with type and role."""
        answer: dict[str, Any] = self._connection.send(
            "GET", path_of("models", name, "schema"), environment=environment
        )
        return answer

    def predict(
        self,
        name: str,
        *,
        records: Sequence[Mapping[str, Any]] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
        horizon: int | None = None,
        environment: str = PRODUCTION,
        **more: Any,
    ) -> dict[str, Any]:
        """Ask the version that serves in `environment`.

        Parameters
        ----------
        records, columns
            Rows to answer, as objects or by column.
        horizon
            Of a forecast model: steps ahead, instead of rows; without either, its own horizon.
        **more
            Further fields of the request: ``future``, ``level``, ``series``, ``timestamp``.
        """
        body = {
            "records": None if records is None else [dict(record) for record in records],
            "columns": None if columns is None else {key: list(values) for key, values in columns.items()},
            "horizon": horizon,
            **more,
        }
        given = {field: value for field, value in body.items() if value is not None}
        if records is None and columns is None:
            given["horizon"] = horizon
        answer: dict[str, Any] = self._connection.send(
            "POST", path_of("models", name, "predict"), given, environment=environment
        )
        return answer

    def actuals(
        self, name: str, actuals: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> dict[str, Any]:
        """Tell what really happened, so that the predictions can be judged."""
        body = {"actuals": [dict(actual) for actual in actuals]}
        answer: dict[str, Any] = self._connection.send(
            "POST", path_of("models", name, "actuals"), body, key=key
        )
        return answer

    def performance(
        self,
        name: str,
        *,
        start_date: datetime | str | None = None,
        end_date: datetime | str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Return how well the model has done between two times."""
        answer: dict[str, Any] = self._connection.get(
            path_of("models", name, "performance"),
            start_date=_stamp(start_date),
            end_date=_stamp(end_date),
            **more,
        )
        return answer


def _stamp(moment: datetime | str | None) -> str | None:
    return moment if moment is None or isinstance(moment, str) else moment.isoformat()
