"""The registry: register, deploy, roll back, and ask who is champion.

Its state is the hub's own and transactional; MLflow mirrors it through the outbox and is never waited for.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aihub.errors import ConfigError, ConflictError, NotFoundError
from aihub.registry.promotion import (
    Order,
    check_actor,
    check_expected,
    check_key,
    check_repeat,
    check_target,
)
from aihub.registry.queries import Queries
from aihub.registry.records import PRODUCTION, Action, Deployment, Status, Version
from aihub.registry.registration import checked_report, checked_status, next_semantic
from aihub.registry.signatures import Signatures
from aihub.registry.signing import UNSIGNED, Signing
from aihub.registry.versioning import check_name, digest_of
from aihub.settings import DEFAULT_TENANT
from aihub.store import deployments as deployment_rows
from aihub.store import models as model_rows
from aihub.store import outbox
from aihub.store.engine import read, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.engine import Connection, Engine

    from aihub.registry.artifacts import Artifact, ArtifactStore
    from aihub.registry.lineage import Lineage
    from aihub.store.audit import AuditLog

VERSION_TOPIC = "mlflow.version"
ALIAS_TOPIC = "mlflow.alias"


@dataclass(frozen=True)
class Registry:
    """Versions and deployments of one tenant.

    Parameters
    ----------
    engine
        From `aihub.store.engine.create`, brought up to date by `aihub.store.schema.upgrade`.
    artifacts
        Where the model files lie, by digest.
    audit
        Where every change is written down, in the transaction of the change.
    tenant
        Whose models these are; nothing of another tenant can be seen or changed.
    source
        Where the changes come from, for the audit log.
    signing
        Who signs versions, and where only signed ones go.
    """

    engine: Engine
    artifacts: ArtifactStore
    audit: AuditLog
    tenant: str = DEFAULT_TENANT
    source: str = ""
    signing: Signing = UNSIGNED

    def register_version(
        self,
        model: str,
        digest: str,
        lineage: Lineage,
        *,
        status: Status | str,
        actor: str,
        now: datetime,
        report: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        notes: Sequence[str] = (),
        spec: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Version:
        """Make a version of `model` from the stored artefact `digest`; makes the model where it is new.

        Writes version, report, audit event and the order to mirror it, in one transaction. Idempotent by `key`: the same key
        returns the version that was made first.

        Parameters
        ----------
        report
            The gate's report as JSON (`dict(validation_report)`); kept by the digest of its canonical form.
        status
            ``candidate`` or ``rejected``. A candidate needs a report that passed, where there is a report.
        spec
            Specification that it was made from; its policy goes with the version.

        Raises
        ------
        ArtifactError
            The artefact is not in the store, or is damaged there.
        InputError
            Name, actor, key or report cannot be used.
        ConflictError
            `key` was used for another artefact.
        """
        artifact = self.artifacts.get(digest)
        with write(self.engine, tenant=self.tenant) as connection:
            return self.register_in(
                connection,
                model,
                artifact,
                lineage,
                status=status,
                actor=actor,
                now=now,
                report=report,
                metrics=metrics,
                notes=notes,
                spec=spec,
                key=key,
            )

    def register_in(
        self,
        connection: Connection,
        model: str,
        artifact: Artifact,
        lineage: Lineage,
        *,
        status: Status | str,
        actor: str,
        now: datetime,
        report: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        notes: Sequence[str] = (),
        spec: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Version:
        """`register_version` within the caller's transaction, of an artefact that was read from the store before."""
        check_name(model)
        status = checked_status(status)
        check_actor(actor)
        check_key(key)
        body = checked_report(report, status)
        model_id = model_rows.ensure_model(connection, tenant=self.tenant, name=model, now=now)
        known = Queries(connection, self.tenant)
        again = known.version_by_key(model, key)
        if again is not None:
            if again.digest != artifact.digest:
                raise ConflictError(f"key {key!r} has made {again} of another artefact; use a new key")
            return again
        latest = model_rows.latest_version(connection, model_id=model_id)
        uid = uuid.uuid4().hex
        row = {
            "tenant_id": self.tenant,
            "uid": uid,
            "model_id": model_id,
            "number": 1 if latest is None else latest["number"] + 1,
            **next_semantic(connection, model_id, latest, lineage)._asdict(),
            "git_commit": lineage.git_commit,
            "status": status.value,
            "digest": artifact.digest,
            "size_bytes": artifact.size_bytes,
            "kind": artifact.manifest.kind,
            "lineage": lineage.to_dict(),
            # JSON, and so PostgreSQL, knows no infinity and no NaN.
            "metrics": {n: float(v) for n, v in (metrics or {}).items() if math.isfinite(v)},
            "notes": list(notes),
            "spec": None if spec is None else dict(spec),
            "report_id": self._save_report(connection, body, now),
            "idempotency_key": key,
            "created_by": actor,
            "created_at": now,
        }
        model_rows.insert_version(connection, row)
        payload = {"model": model, "uid": uid}
        outbox.put(connection, tenant=self.tenant, topic=VERSION_TOPIC, key=uid, payload=payload, now=now)
        version = known.version_by_uid(model, uid)
        signed_by = self._signatures.put(connection, version, artifact, actor=actor, now=now)
        self._write_down(
            connection,
            "version.registered",
            model,
            actor=actor,
            now=now,
            after={
                "version": version.number,
                "semantic": str(version.semantic),
                "status": version.status.value,
                "digest": version.digest,
                "report_digest": version.report_digest,
                "signed_by": signed_by,
            },
        )
        return version

    def sign(self, model: str, reference: str | int, *, actor: str, now: datetime) -> str:
        """Sign a version with the hub's key and return the key's name. Writes signature and audit event; idempotent.

        Raises
        ------
        ConfigError
            The hub has no signing key.
        NotFoundError, ArtifactError
            There is no such version, or its artefact is damaged.
        """
        if self.signing.signer is None:
            raise ConfigError(
                "no key to sign with; name its file in AIHUB_SIGNING_KEY_FILE", field="signing_key_file"
            )
        version = self.version(model, reference)
        artifact = self.artifacts.get(version.digest)
        with write(self.engine, tenant=self.tenant) as connection:
            key = self._signatures.put(connection, version, artifact, actor=actor, now=now) or ""
            after = {"version": version.number, "semantic": str(version.semantic), "signed_by": key}
            self._write_down(connection, "version.signed", model, actor=actor, now=now, after=after)
        return key

    def check_signature(self, version: Version) -> list[str]:
        """Return the names of the trusted keys that have signed `version` as it is.

        Raises
        ------
        ArtifactError
            No trusted key has, or the artefact is damaged.
        """
        with read(self.engine, tenant=self.tenant) as connection:
            return self._signatures.check(connection, version)

    def _save_report(self, connection: Connection, body: dict[str, Any] | None, now: datetime) -> int | None:
        if body is None:
            return None
        passed, digest = body["passed"] is True, digest_of(body)
        return model_rows.save_report(
            connection, tenant=self.tenant, digest=digest, passed=passed, body=body, now=now
        )

    def deploy(
        self,
        model: str,
        version: str | int,
        *,
        actor: str,
        reason: str,
        now: datetime,
        environment: str = PRODUCTION,
        key: str | None = None,
        expected_sequence: int | None = None,
    ) -> Deployment:
        """Make `version` the champion of `environment`; the champion before it ends in the same transaction.

        Serialised per model. Idempotent: the same `key`, or a version that already is champion, changes nothing and
        returns that deployment.

        Parameters
        ----------
        version
            Number, ``v1.2.3`` or git commit.
        expected_sequence
            Sequence of the champion that the decision was made on (0: none); where another has come since, nothing
            is changed.

        Raises
        ------
        NotFoundError
            No such model or version.
        ConflictError
            The version was rejected by its gate, the champion is not the expected one, or `key` was used for
            something else.
        ArtifactError
            The artefact is missing or damaged.
        """
        order = Order(
            action=Action.DEPLOY,
            environment=environment,
            actor=actor,
            reason=reason,
            now=now,
            key=key,
            expected_sequence=expected_sequence,
        )
        with write(self.engine, tenant=self.tenant) as connection:
            return self.activate_in(connection, model, version, order)

    def rollback(
        self,
        model: str,
        target: str | int | None = None,
        *,
        actor: str,
        reason: str,
        now: datetime,
        environment: str = PRODUCTION,
        key: str | None = None,
        expected_sequence: int | None = None,
    ) -> Deployment:
        """Go back to `target`, or without one to the last version that served and was not itself rolled back.

        Skips the gate, but checks the artefact and that the target was once deployed in `environment`. Idempotent by
        `key`.

        Raises
        ------
        NotFoundError
            No such model or version.
        ConflictError
            The target is the champion, was rejected or never deployed here; or there is nothing to go back to.
        """
        order = Order(
            action=Action.ROLLBACK,
            environment=environment,
            actor=actor,
            reason=reason,
            now=now,
            key=key,
            expected_sequence=expected_sequence,
        )
        with write(self.engine, tenant=self.tenant) as connection:
            return self.activate_in(connection, model, target, order)

    def models(self) -> list[str]:
        """Names of the models, sorted."""
        with read(self.engine, tenant=self.tenant) as connection:
            return Queries(connection, self.tenant).models()

    def versions(self, model: str) -> list[Version]:
        """Versions of `model`, oldest first; empty for a model that does not exist."""
        with read(self.engine, tenant=self.tenant) as connection:
            return Queries(connection, self.tenant).versions(model)

    def version(self, model: str, reference: str | int) -> Version:
        """Return the version that a number, ``v1.2.3`` or a git commit means.

        Raises
        ------
        NotFoundError
            No such model or version.
        InputError
            The commit stands for several versions.
        """
        with read(self.engine, tenant=self.tenant) as connection:
            return Queries(connection, self.tenant).resolve(model, reference)

    def report(self, version: Version) -> dict[str, Any] | None:
        """Return the gate's report of `version` as JSON."""
        if version.report_digest is None:
            return None
        with read(self.engine, tenant=self.tenant) as connection:
            return model_rows.report_body(connection, tenant=self.tenant, digest=version.report_digest)

    def artifact_path(self, version: Version) -> Path:
        """Return the artefact's file; `load_predictor` reads it."""
        return self.artifacts.path(version.digest)

    def champion(self, model: str, environment: str = PRODUCTION) -> Version | None:
        """Return the version that serves in `environment`, None where nothing was deployed."""
        with read(self.engine, tenant=self.tenant) as connection:
            known = Queries(connection, self.tenant)
            deployment = known.serving(model, environment)
            return known.version_by_uid(model, deployment.version_uid) if deployment else None

    def serving(self, model: str, environment: str = PRODUCTION) -> Deployment | None:
        """Return the deployment of the champion, None where nothing was deployed."""
        with read(self.engine, tenant=self.tenant) as connection:
            return Queries(connection, self.tenant).serving(model, environment)

    def history(self, model: str, environment: str | None = None) -> list[Deployment]:
        """Deployments of `model`, newest first: what, when, who, why."""
        with read(self.engine, tenant=self.tenant) as connection:
            return Queries(connection, self.tenant).deployments(model, environment)

    def activate_in(
        self, connection: Connection, model: str, reference: str | int | None, order: Order
    ) -> Deployment:
        """Carry out `order` within the caller's transaction: what `deploy` and `rollback` do, and may raise."""
        model_id = model_rows.lock_model(connection, tenant=self.tenant, name=model)
        known = Queries(connection, self.tenant)
        if model_id is None:
            raise NotFoundError("model", model, known.models())
        champion = known.serving(model, order.environment)
        repeated = known.deployment_by_key(model, order.key)
        if reference is None and repeated is not None:
            reference = repeated.version
        version = known.target(model, reference, order.environment, champion)
        if repeated is not None:
            check_repeat(repeated, version, order)
            return repeated
        check_expected(model, champion, order.expected_sequence)
        if champion is not None and champion.version_uid == version.uid and order.action is Action.DEPLOY:
            return champion
        check_target(version, order, known.walk(model, order.environment), champion)
        if order.environment in self.signing.required:
            self._signatures.check(connection, version)
        else:
            self.artifacts.verify(version.digest)
        if champion is not None:
            deployment_rows.end_champion(
                connection,
                model_id=model_id,
                environment=order.environment,
                ended_by=order.action.value,
                now=order.now,
            )
        last = next(known.walk(model, order.environment), None)
        sequence = last.sequence + 1 if last else 1
        self._insert_deployment(connection, model_id, version, order, sequence)
        done = next(known.walk(model, order.environment))
        self._write_down(
            connection,
            "model.deployed" if order.action is Action.DEPLOY else "model.rolled_back",
            model,
            actor=order.actor,
            now=order.now,
            before=None if champion is None else _served(champion),
            after={**_served(done), **(order.evidence or {})},
            reason=order.reason,
        )
        deployment_rows.announce(connection, tenant=self.tenant, model=model)
        return done

    @property
    def _signatures(self) -> Signatures:
        return Signatures(self.artifacts, self.tenant, self.signing)

    def _write_down(
        self, connection: Connection, action: str, model: str, *, actor: str, now: datetime, **event: Any
    ) -> None:
        self.audit.append(
            connection,
            tenant=self.tenant,
            actor=actor,
            action=action,
            subject=f"model:{model}",
            now=now,
            source=self.source,
            **event,
        )

    def _insert_deployment(
        self, connection: Connection, model_id: int, version: Version, order: Order, sequence: int
    ) -> None:
        uid = uuid.uuid4().hex
        deployment_rows.insert(
            connection,
            version_uid=version.uid,
            row={
                "tenant_id": self.tenant,
                "uid": uid,
                "model_id": model_id,
                "environment": order.environment,
                "sequence": sequence,
                "action": order.action.value,
                "actor": order.actor,
                "reason": order.reason,
                "idempotency_key": order.key,
                "started_at": order.now,
                "evidence": None if order.evidence is None else dict(order.evidence),
            },
        )
        payload = {"model": version.model, "environment": order.environment, "uid": version.uid}
        outbox.put(connection, tenant=self.tenant, topic=ALIAS_TOPIC, key=uid, payload=payload, now=order.now)


def _served(deployment: Deployment) -> dict[str, Any]:
    return {
        "environment": deployment.environment,
        "version": deployment.version,
        "semantic": str(deployment.semantic),
        "digest": deployment.digest,
        "sequence": deployment.sequence,
    }
