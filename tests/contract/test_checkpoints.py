from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from aihub.errors import ConflictError, InputError
from aihub.store import checkpoints
from aihub.store.access_tables import audit
from aihub.store.audit import AuditLog
from aihub.store.checkpoints import Checkpoint, Signer
from aihub.store.engine import EVERY_TENANT, read, write

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = AuditLog(b"k" * 32)
SIGNER = Signer("ab" * 32)
OTHER = Signer("cd" * 32)


def _append(database: Engine, count: int) -> None:
    with write(database, tenant="a") as connection:
        for _ in range(count):
            LOG.append(connection, tenant="a", actor="ann", action="x.done", subject="ä", now=NOW)


def _made(database: Engine, signer: Signer = SIGNER) -> str:
    with read(database, tenant=EVERY_TENANT) as connection:
        made = checkpoints.make(connection, LOG, signer, tenants=["a", "b"], now=NOW)
    return "".join(f"{one.to_line()}\n" for one in made)


def _first_bad(database: Engine, text: str) -> int | None:
    marks = checkpoints.marks(checkpoints.parse(text), public_keys=[SIGNER.public_key])
    with read(database, tenant="a") as connection:
        return LOG.verify(connection, tenant="a", marks=marks.get("a")).first_bad


def test_a_chain_that_only_grew_fits_its_checkpoints(database: Engine) -> None:
    text = _made(database)
    for count in (2, 3):
        _append(database, count)
        text += _made(database)
    assert len(text.splitlines()) == 6
    assert _first_bad(database, text) is None
    _append(database, 1)
    assert _first_bad(database, text) is None


def test_no_checkpoint_vouches_for_a_broken_chain(database: Engine) -> None:
    _append(database, 3)
    with write(database, tenant=EVERY_TENANT) as connection:
        wrong = sa.insert(audit).from_select(
            ["tenant_id", "sequence", "at", "actor", "action", "subject", "previous_hash", "hash"],
            sa.select(
                audit.c.tenant_id, audit.c.sequence + 1, audit.c.at, audit.c.actor, audit.c.action,
                audit.c.subject, audit.c.hash, audit.c.hash,
            ).where(audit.c.sequence == 3),
        )  # fmt: skip
        connection.execute(wrong)
    with pytest.raises(ConflictError, match="'a' is broken"):
        _made(database)


@pytest.mark.parametrize("change", ["sequence", "hash", "at", "tenant"])
def test_a_changed_checkpoint_is_not_believed(database: Engine, change: str) -> None:
    _append(database, 3)
    said = json.loads(_made(database).splitlines()[0])
    said[change] = 2 if change == "sequence" else "0" * 64
    with pytest.raises(ConflictError, match="not signed by this hub"):
        _first_bad(database, json.dumps(said))


def test_a_strangers_checkpoint_is_not_believed_unless_named(database: Engine) -> None:
    _append(database, 1)
    text = _made(database, OTHER)
    with pytest.raises(ConflictError, match="--public-key"):
        _first_bad(database, text)
    both = [SIGNER.public_key, OTHER.public_key.upper()]
    assert checkpoints.marks(checkpoints.parse(text), public_keys=both)["a"]


def test_two_signed_checkpoints_that_contradict_each_other_are_a_finding() -> None:
    def signed(digest: str) -> Checkpoint:
        plain = Checkpoint(tenant="a", sequence=1, hash=digest, at="", public_key=SIGNER.public_key)
        return Checkpoint(**{**vars(plain), "signature": SIGNER.sign(plain.message())})

    with pytest.raises(ConflictError, match="written twice"):
        checkpoints.marks([signed("a"), signed("b")], public_keys=[SIGNER.public_key])


@pytest.mark.parametrize("line", ["x", "{}", "[]", "7", '{"format": "other"}', "null"])
def test_what_is_no_checkpoint_is_named_by_its_line(line: str) -> None:
    with pytest.raises(InputError, match="line 2"):
        checkpoints.parse(f"\n{line}\n")


def test_a_number_has_to_be_one() -> None:
    said = {
        "format": checkpoints.FORMAT,
        **vars(Checkpoint(tenant="a", sequence=1, hash="", at="", public_key="")),
    }
    for wrong in (True, -1, "1", 1.0):
        with pytest.raises(InputError, match="line 1"):
            checkpoints.parse(json.dumps({**said, "sequence": wrong}))


@pytest.mark.parametrize("seed", ["", "ab", "zz" * 32, "ab" * 33])
def test_a_signing_key_of_another_form_is_refused(seed: str) -> None:
    with pytest.raises(InputError, match="openssl rand -hex 32"):
        Signer(seed)
