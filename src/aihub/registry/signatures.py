"""Signatures of one tenant's versions: made where the hub has a key, checked where an environment asks for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.registry.signing import Signing, statement
from aihub.store import signatures as rows

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.registry.artifacts import Artifact, ArtifactStore
    from aihub.registry.records import Version


@dataclass(frozen=True)
class Signatures:
    """Works in transactions that the caller has opened."""

    artifacts: ArtifactStore
    tenant: str
    signing: Signing

    def put(
        self, connection: Connection, version: Version, artifact: Artifact, *, actor: str, now: datetime
    ) -> str | None:
        """Sign `version` as it is and keep the signature; returns the key's name, None where the hub signs nothing.

        Idempotent; a signature of the same key over what the version was before is replaced.
        """
        signer = self.signing.signer
        if signer is None:
            return None
        rows.put(
            connection,
            tenant=self.tenant,
            version_uid=version.uid,
            key_id=signer.key_id,
            envelope=signer.sign(statement(version, artifact, tenant=self.tenant)),
            signed_by=actor,
            now=now,
        )
        return signer.key_id

    def check(self, connection: Connection, version: Version) -> list[str]:
        """Return the names of the trusted keys that have signed `version` as it is.

        Raises
        ------
        ArtifactError
            None has, or the artefact is missing or damaged.
        """
        expected = statement(version, self.artifacts.get(version.digest), tenant=self.tenant)
        known = rows.envelopes(connection, tenant=self.tenant, version_uid=version.uid)
        return self.signing.check(known, expected)
