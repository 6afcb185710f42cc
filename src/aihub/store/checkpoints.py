"""Signed statements of how far an audit chain had come, to be kept where the hub's database is not.

Whoever owns the database can cut off the end of a chain, and with the audit key write it anew; what he cannot do is make an
older checkpoint, which somebody else keeps, fit. The signature (Ed25519) says that a checkpoint is the hub's own.
Functions never commit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aihub.errors import ConflictError, InputError
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.store.audit import AuditLog

FORMAT = "aihub-audit-checkpoint/1"
SEED_BYTES = 32
_FIELDS = {"format", "tenant", "sequence", "hash", "at", "public_key", "signature"}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """That a tenant's event `sequence` had `hash` when it was the last; `public_key` and `signature` are hexadecimal."""

    tenant: str
    sequence: int
    hash: str
    at: str
    public_key: str
    signature: str = ""

    def to_line(self) -> str:
        """Return one line of JSON."""
        return json.dumps({"format": FORMAT, **vars(self)}, ensure_ascii=False)

    def message(self) -> bytes:
        """Return what is signed: everything but the signature."""
        said = {"format": FORMAT, **vars(self)}
        del said["signature"]
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Signer:
    """Signs checkpoints with an Ed25519 key made from a seed of 32 bytes, given as hexadecimal text."""

    def __init__(self, seed: str) -> None:
        try:
            raw = bytes.fromhex(seed)
        except ValueError:
            raw = b""
        if len(raw) != SEED_BYTES:
            raise InputError(
                "the signing key is not of 64 hexadecimal digits; make one: openssl rand -hex 32"
            )
        self._key = Ed25519PrivateKey.from_private_bytes(raw)

    @property
    def public_key(self) -> str:
        """Return the half that everybody may know, in hexadecimal."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> str:
        """Return the signature in hexadecimal."""
        return self._key.sign(message).hex()


def make(
    connection: Connection, log: AuditLog, signer: Signer, *, tenants: Iterable[str], now: datetime
) -> list[Checkpoint]:
    """Verify the chains of `tenants` and sign where each has come to.

    Raises
    ------
    ConflictError
        A chain is broken: a checkpoint would vouch for it.
    """
    made = []
    for tenant in tenants:
        verdict = log.verify(connection, tenant=tenant)
        if not verdict.is_intact:
            raise ConflictError(
                f"the chain of tenant {tenant!r} is broken ({verdict.reason}); look with: aihub audit verify"
            )
        plain = Checkpoint(
            tenant=tenant,
            sequence=verdict.events,
            hash=verdict.head,
            at=iso(now),
            public_key=signer.public_key,
        )
        made.append(Checkpoint(**{**vars(plain), "signature": signer.sign(plain.message())}))
    return made


def parse(text: str) -> list[Checkpoint]:
    """Read checkpoints, one a line.

    Raises
    ------
    InputError
        A line is not one.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        said = _document(line)
        if said is None:
            raise InputError(f"line {number} is not a checkpoint; every line is one that the hub has written")
        found.append(Checkpoint(**{name: value for name, value in said.items() if name != "format"}))
    return found


def _document(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or set(said) != _FIELDS or said["format"] != FORMAT:
        return None
    if type(said["sequence"]) is not int or said["sequence"] < 0:
        return None
    texts = all(isinstance(value, str) for name, value in said.items() if name != "sequence")
    return said if texts else None


def marks(checkpoints: Iterable[Checkpoint], *, public_keys: Iterable[str]) -> dict[str, dict[int, str]]:
    """Return what checkpoints say, by tenant and sequence, for `AuditLog.verify`.

    Parameters
    ----------
    public_keys
        Keys that are believed, in hexadecimal: that of the hub, and those that it had before.

    Raises
    ------
    ConflictError
        A checkpoint was not signed by one of the keys, or two contradict each other: there were two chains.
    """
    believed = {key.lower() for key in public_keys}
    found: dict[str, dict[int, str]] = {}
    for one in checkpoints:
        where = f"the checkpoint of tenant {one.tenant!r} at event {one.sequence}"
        if one.public_key.lower() not in believed or not _is_signed(one):
            raise ConflictError(
                f"{where} was not signed by this hub; give its key with --public-key if it was"
            )
        known = found.setdefault(one.tenant, {})
        if known.setdefault(one.sequence, one.hash) != one.hash:
            raise ConflictError(
                f"{where} contradicts another that is signed as well: the chain was written twice"
            )
    # Nothing had happened yet: there is no event to compare.
    return {tenant: {n: h for n, h in known.items() if n > 0} for tenant, known in found.items()}


def _is_signed(checkpoint: Checkpoint) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(checkpoint.public_key))
        key.verify(bytes.fromhex(checkpoint.signature), checkpoint.message())
    except (InvalidSignature, ValueError):
        return False
    return True
