"""Signatures over versions: an in-toto statement in a DSSE envelope, Ed25519.

The statement binds what a digest alone does not: whose model it is, under which name and number, which report let it
through, and every file in it. A signature for one tenant, name or version is worth nothing for another.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aihub.errors import ArtifactError, ConfigError
from aihub.registry.versioning import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aihub.registry.artifacts import Artifact
    from aihub.registry.records import Version

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:aihub:model-version:v1"
MAX_ENVELOPE_BYTES = 1 << 20


def statement(version: Version, artifact: Artifact, *, tenant: str) -> dict[str, Any]:
    """Return what is signed of a version: its artefact, every file in it, and what it is."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in artifact.files.items()}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"{tenant}/{version.model}", "digest": {"sha256": artifact.digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "tenant": tenant,
            "model": version.model,
            "number": version.number,
            "semantic": str(version.semantic),
            "uid": version.uid,
            "kind": version.kind,
            "status": version.status.value,
            "report_sha256": version.report_digest,
            "config_sha256": version.lineage.config_hash,
            "data_sha256": version.lineage.data.get("sha256"),
            "git_commit": version.git_commit,
            "files": files,
        },
    }


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the SHA-256 of its raw bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True)
class Signer:
    """Signs with one private key."""

    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"Signer({self.key_id[:16]})"

    @property
    def key_id(self) -> str:
        """Name of the public half."""
        return key_id(self.key.public_key())

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the envelope of a statement."""
        payload = canonical_json(dict(document))
        signature = self.key.sign(_encoded(payload))
        return {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": self.key_id, "sig": base64.b64encode(signature).decode()}],
        }


@dataclass(frozen=True)
class Trust:
    """The public keys whose signatures count."""

    keys: Mapping[str, Ed25519PublicKey]

    def check(self, envelope: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
        """Return the name of the key by which `envelope` signs exactly the statement `expected`.

        Raises
        ------
        ArtifactError
            No trusted key has signed it, or it signs something else; the message says which.
        """
        try:
            payload = base64.b64decode(envelope["payload"], validate=True)
            named = [
                (one["keyid"], base64.b64decode(one["sig"], validate=True)) for one in envelope["signatures"]
            ]
            is_ours = envelope["payloadType"] == PAYLOAD_TYPE
        except (KeyError, TypeError, ValueError):
            raise ArtifactError("the signature is damaged; sign the version again") from None
        if not is_ours or len(payload) > MAX_ENVELOPE_BYTES:
            raise ArtifactError("the signature is not over a statement of ours; sign the version again")
        signer = self._signer(payload, named)
        # Compared as bytes, after the signature: nothing of an unsigned document is looked into.
        if payload != canonical_json(dict(expected)):
            raise ArtifactError(
                "the signature is good, but of another version or another artefact; sign this one"
            )
        return signer

    def _signer(self, payload: bytes, named: Sequence[tuple[object, bytes]]) -> str:
        for name, signature in named:
            # Nobody has checked what an envelope calls its key.
            if not isinstance(name, str) or name not in self.keys:
                continue
            try:
                self.keys[name].verify(signature, _encoded(payload))
            except InvalidSignature:
                raise ArtifactError(
                    "the signature does not belong to its statement: one of them was changed"
                ) from None
            return name
        known = ", ".join(sorted(name[:12] for name in self.keys)) or "none"
        raise ArtifactError(
            f"no trusted key has signed this version (trusted: {known}); sign it, or trust its key"
        )


@dataclass(frozen=True, kw_only=True)
class Signing:
    """How a hub signs and what it asks for.

    Attributes
    ----------
    signer
        Signs every version that is registered; None signs none.
    trust
        Whose signatures count; None counts none.
    required
        Environments into which only signed versions go.
    """

    signer: Signer | None = None
    trust: Trust | None = None
    required: frozenset[str] = frozenset()

    def check(self, envelopes: Sequence[Mapping[str, Any]], expected: Mapping[str, Any]) -> list[str]:
        """Return the names of the trusted keys that have signed `expected`.

        Raises
        ------
        ArtifactError
            None has; the message is that of the last signature looked at.
        """
        if self.trust is None:
            raise ArtifactError("no keys are trusted here; name their file in AIHUB_TRUSTED_KEYS_FILE")
        fault = ArtifactError("the version is not signed; sign it: aihub signing sign NAME VERSION")
        found = []
        for envelope in envelopes:
            try:
                found.append(self.trust.check(envelope, expected))
            except ArtifactError as error:
                fault = error
        if not found:
            raise fault
        return found


UNSIGNED = Signing()
"""Signs nothing and asks for nothing."""


def _encoded(payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE v1: type and payload, each with its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def new_key() -> tuple[bytes, bytes]:
    """Return a new key pair as PEM: private, public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def load_signer(file: Path) -> Signer:
    """Read a private key from a PEM file.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no Ed25519 key without a passphrase.
    """
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the signing key {file} cannot be read ({type(error).__name__})", field="signing_key_file"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"the signing key {file} is not an Ed25519 key; make one: aihub signing new-key",
            field="signing_key_file",
        )
    return Signer(key)


def load_trust(file: Path) -> Trust:
    """Read the public keys of a PEM file, one behind the other.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds something else than Ed25519 public keys.
    """
    end = b"-----END PUBLIC KEY-----"
    try:
        blocks = [block + end for block in file.read_bytes().split(end)[:-1]]
        keys = [serialization.load_pem_public_key(block.strip()) for block in blocks]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the trusted keys {file} cannot be read ({type(error).__name__})", field="trusted_keys_file"
        ) from None
    if not keys or not all(isinstance(key, Ed25519PublicKey) for key in keys):
        raise ConfigError(
            f"{file} must hold Ed25519 public keys in PEM, and nothing else", field="trusted_keys_file"
        )
    return Trust({key_id(key): key for key in keys if isinstance(key, Ed25519PublicKey)})


def load_signing(key_file: Path | None, trusted_file: Path | None, required: frozenset[str]) -> Signing:
    """Read what a hub signs with and whom it trusts; its own key counts where no others are named.

    Raises
    ------
    ConfigError
        A file cannot be used, or signatures are asked for and no key could be trusted.
    """
    signer = load_signer(key_file) if key_file else None
    trust = load_trust(trusted_file) if trusted_file else None
    if trust is None and signer is not None:
        trust = Trust({signer.key_id: signer.key.public_key()})
    if required and trust is None:
        message = "signatures are required but no key is trusted; set AIHUB_TRUSTED_KEYS_FILE"
        raise ConfigError(message, field="trusted_keys_file")
    return Signing(signer=signer, trust=trust, required=required)


def parse_envelope(text: str) -> dict[str, Any]:
    """Read an envelope from JSON.

    Raises
    ------
    ArtifactError
        It is not a JSON object, or is too large.
    """
    if len(text) > MAX_ENVELOPE_BYTES * 2:
        raise ArtifactError("the signature's file is too large to be one")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ArtifactError("the signature's file is not JSON; fetch it again") from None
    if not isinstance(document, dict):
        raise ArtifactError("the signature's file is not a JSON object; fetch it again")
    return document
