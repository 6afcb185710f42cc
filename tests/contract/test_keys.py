"""API keys and tenants, on every database."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from aihub.access import ROLE_SCOPES
from aihub.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from aihub.store import keys, tenants
from aihub.store.access_tables import api_keys, audit
from aihub.store.audit import AuditLog
from aihub.store.credentials import NewKey, hash_of, id_of, new_token
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.types import OPERATOR_TENANT, Identity, Role

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = AuditLog(b"k" * 32)
BY: dict[str, Any] = {"actor": "root", "audit": LOG, "source": "test"}


@dataclass(frozen=True)
class Keys:
    """Keys of a database, one transaction a call."""

    engine: Engine

    def issue(self, principal: str = "ann", now: datetime = NOW, **more: Any) -> NewKey:
        wanted = {"tenant": "acme", "role": Role.TRAINER, **BY, **more}
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            return keys.issue(connection, principal=principal, now=now, **wanted)

    def rotate(self, key_id: str, now: datetime = NOW, tenant: str | None = "acme", **more: Any) -> NewKey:
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            wanted = {"overlap": timedelta(days=1), **BY, **more}
            return keys.rotate(connection, key_id, tenant=tenant, now=now, **wanted)

    def revoke(self, key_id: str, tenant: str | None = "acme") -> keys.ApiKey:
        with write(self.engine, tenant=EVERY_TENANT) as connection:
            return keys.revoke(connection, key_id, tenant=tenant, now=NOW, reason="lost", **BY)

    def state(self, key_id: str, now: datetime) -> str:
        with read(self.engine, tenant="acme") as connection:
            return keys.get(connection, key_id, tenant="acme").state(now)

    def actions(self, tenant: str = "acme") -> list[str]:
        with read(self.engine, tenant=tenant) as connection:
            assert LOG.verify(connection, tenant=tenant).is_intact
            query = sa.select(audit.c.action).where(audit.c.tenant_id == tenant).order_by(audit.c.sequence)
            return list(connection.scalars(query))


@pytest.fixture
def some(database: Engine) -> Keys:
    with write(database, tenant=EVERY_TENANT) as connection:
        for tenant in ("acme", "bolt"):
            tenants.create(connection, tenant, now=NOW, **BY)
    return Keys(database)


def test_only_the_hash_of_a_key_is_kept_and_its_secret_is_shown_once(some: Keys) -> None:
    made = some.issue()
    assert id_of(made.token) == made.key.id
    assert made.token not in repr(made)
    with read(some.engine, tenant=EVERY_TENANT) as connection:
        kept = connection.execute(sa.select(api_keys)).mappings().one()
        events = connection.execute(sa.select(audit)).mappings().all()
    assert kept["secret_sha256"] == hash_of(made.token)
    secret = made.token.split("_", 2)[2]
    assert secret not in str(dict(kept))
    assert not any(secret in str(dict(event)) or hash_of(made.token) in str(dict(event)) for event in events)
    assert "secret" not in str(made.key.to_dict(NOW))


def test_keys_are_random_and_of_one_form() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(id_of(token) and len(token) == len("hub_") + 16 + 1 + 43 for token in tokens)


@pytest.mark.parametrize(
    "text",
    ["", "hub_", "hub_12_34", "HUB_" + "0" * 16 + "_" + "a" * 43, "hub_" + "0" * 16 + "_" + "a" * 43 + "\n"],
)
def test_what_is_not_of_the_form_has_no_id(text: str) -> None:
    assert id_of(text) is None


def test_two_keys_of_a_principal_count_and_no_third(some: Keys) -> None:
    first, _ = some.issue(), some.issue()
    with pytest.raises(ConflictError, match="revoke one first"):
        some.issue()
    some.issue("ben")
    some.issue(tenant="bolt")
    some.revoke(first.key.id)
    some.issue()


def test_expired_and_short_lived_keys_do_not_take_the_room(some: Keys) -> None:
    for _ in range(3):
        some.issue(expires_at=NOW + timedelta(minutes=15))
    for _ in range(2):
        some.issue(expires_at=NOW + timedelta(days=1))
    with pytest.raises(ConflictError):
        some.issue(now=NOW + timedelta(hours=23))
    some.issue(now=NOW + timedelta(days=1))


def test_a_replaced_key_counts_until_the_overlap_is_over(some: Keys) -> None:
    old = some.issue(scopes=["jobs:write", "jobs:read"], expires_at=NOW + timedelta(days=90))
    later = NOW + timedelta(days=80)
    new = some.rotate(old.key.id, later)
    assert new.token != old.token
    assert new.key.scopes == ["jobs:read", "jobs:write"]
    assert new.key.expires_at == later + timedelta(days=90)
    assert some.state(old.key.id, later + timedelta(hours=23)) == "active"
    assert some.state(old.key.id, later + timedelta(hours=24)) == "expired"
    assert some.actions() == ["tenant.created", "key.created", "key.created", "key.rotated"]
    with pytest.raises(ConflictError, match="revoke one first"):
        some.rotate(new.key.id, later)
    with pytest.raises(ConflictError, match="expired"):
        some.rotate(old.key.id, later + timedelta(days=2))


def test_an_overlap_never_lengthens_a_life(some: Keys) -> None:
    old = some.issue(expires_at=NOW + timedelta(hours=6))
    some.rotate(old.key.id)
    assert some.state(old.key.id, NOW + timedelta(hours=6)) == "expired"


def test_revoking_is_final_and_twice_is_once(some: Keys) -> None:
    made = some.issue()
    assert some.revoke(made.key.id).revoked_at == NOW
    some.revoke(made.key.id)
    assert some.actions() == ["tenant.created", "key.created", "key.revoked"]
    with pytest.raises(ConflictError, match="revoked"):
        some.rotate(made.key.id)


def test_keys_of_another_tenant_and_of_operators_do_not_exist(some: Keys) -> None:
    theirs, operators = some.issue(tenant="bolt"), some.issue(tenant=OPERATOR_TENANT, role=Role.ADMIN)
    for made in (theirs, operators):
        with pytest.raises(NotFoundError):
            some.revoke(made.key.id)
        with pytest.raises(NotFoundError):
            some.rotate(made.key.id)
    with read(some.engine, tenant="acme") as connection:
        assert keys.list_page(connection, tenant="acme") == []
    some.revoke(operators.key.id, tenant=None)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"principal": ""}, InputError),
        ({"principal": "a\nb"}, InputError),
        ({"principal": "x" * 129}, InputError),
        ({"tenant": "nobody"}, NotFoundError),
        ({"scopes": ["approvals:decide"]}, InputError),
        ({"expires_at": NOW}, InputError),
        ({"token": "hub_me"}, InputError),
    ],
)
def test_keys_that_cannot_be_are_not_made(some: Keys, wanted: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        some.issue(**wanted)
    assert some.actions() == ["tenant.created"]


def test_nobody_makes_or_replaces_a_key_that_may_do_more_than_his_own(some: Keys) -> None:
    narrow = Identity(tenant="acme", principal="x", role=Role.ADMIN, scopes=frozenset({"keys:write"}))
    strong = some.issue()
    for attempt in (
        lambda: some.issue("eve", giver=narrow),
        lambda: some.issue("eve", giver=narrow, role=Role.ADMIN, scopes=["keys:write", "jobs:write"]),
        lambda: some.rotate(strong.key.id, giver=narrow),
    ):
        with pytest.raises(ForbiddenError, match="what he has not"):
            attempt()
    some.issue("eve", giver=narrow, role=Role.ADMIN, scopes=["keys:write"])
    admin = Identity(tenant="acme", principal="x", role=Role.ADMIN, scopes=ROLE_SCOPES[Role.ADMIN])
    some.rotate(strong.key.id, giver=admin)
    with pytest.raises(ForbiddenError):
        some.issue("eve", tenant=OPERATOR_TENANT, role=Role.VIEWER, giver=admin)


def test_a_key_of_ones_own_is_taken_once(some: Keys) -> None:
    token = new_token()
    assert some.issue(token=token).token == token
    with pytest.raises(ConflictError, match="exists"):
        some.issue("ben", token=token)


def test_keys_made_at_once_keep_the_limit(some: Keys) -> None:
    made: list[NewKey] = []

    def make() -> None:
        with suppress(ConflictError):
            made.append(some.issue())

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == keys.MAX_ACTIVE


def test_last_uses_only_move_forward(some: Keys) -> None:
    made = some.issue()
    for at in (NOW + timedelta(hours=1), NOW):
        with write(some.engine, tenant=EVERY_TENANT) as connection:
            keys.note_uses(connection, {made.key.id: at, "0" * 16: at})
    with read(some.engine, tenant="acme") as connection:
        assert keys.get(connection, made.key.id, tenant="acme").last_used_at == NOW + timedelta(hours=1)


def test_pages_of_keys_and_tenants(some: Keys) -> None:
    ids = sorted(some.issue(f"p{n}").key.id for n in range(5))
    with read(some.engine, tenant=EVERY_TENANT) as connection:
        first = keys.list_page(connection, tenant="acme", limit=3)
        rest = keys.list_page(connection, tenant="acme", after=first[-1].id)
        assert [key.id for key in [*first, *rest]] == ids
        assert [tenant.tenant_id for tenant in tenants.list_page(connection)] == ["acme", "bolt"]
        assert [tenant.tenant_id for tenant in tenants.list_page(connection, after="acme")] == ["bolt"]


@pytest.mark.parametrize("name", ["", "*", "Acme", "a b", "-a", "x" * 65, "a\n", "ä"])
def test_names_that_no_tenant_can_have(some: Keys, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a name"), write(some.engine, tenant=EVERY_TENANT) as c:
        tenants.create(c, name, now=NOW, **BY)


def test_a_tenant_is_made_once_and_its_changes_are_written_down(some: Keys) -> None:
    with pytest.raises(ConflictError, match="exists"), write(some.engine, tenant=EVERY_TENANT) as connection:
        tenants.create(connection, "acme", now=NOW, **BY)
    with write(some.engine, tenant=EVERY_TENANT) as connection:
        assert tenants.ensure(connection, "acme", now=NOW, **BY) is None
        changed = tenants.change(connection, "acme", rules={"max_queued_jobs": 5}, now=NOW, **BY)
        assert tenants.change(connection, "acme", rules={"max_queued_jobs": 5}, now=NOW, **BY) == changed
        off = tenants.change(connection, "acme", is_active=False, reason="moved", now=NOW, **BY)
    assert off.rules == {"max_queued_jobs": 5}
    assert not off.is_active
    assert some.actions() == ["tenant.created", "tenant.changed", "tenant.changed"]
    with pytest.raises(NotFoundError), write(some.engine, tenant=EVERY_TENANT) as connection:
        tenants.change(connection, "nobody", is_active=True, now=NOW, **BY)


@pytest.mark.parametrize("first", ["rotate", "revoke"])
def test_a_rotation_and_a_revocation_at_once_come_one_after_the_other(some: Keys, first: str) -> None:
    ident = some.issue().key.id
    second = "revoke" if first == "rotate" else "rotate"
    ended: list[str] = []
    outcome: list[Any] = []

    def meanwhile() -> None:
        try:
            outcome.append(getattr(some, second)(ident))
        except ConflictError as error:
            outcome.append(error)
        ended.append("second")

    other = threading.Thread(target=meanwhile)
    with write(some.engine, tenant=EVERY_TENANT) as connection:
        given: dict[str, Any] = {"tenant": "acme", "now": NOW, **BY}
        if first == "rotate":
            keys.rotate(connection, ident, overlap=timedelta(days=1), **given)
        else:
            keys.revoke(connection, ident, **given)
        other.start()
        other.join(0.3)
        ended.append("first")
    other.join(20)
    assert ended == ["first", "second"]
    with read(some.engine, tenant="acme") as connection:
        active = [key.id for key in keys.every_key(connection, tenant="acme") if key.state(NOW) == "active"]
    if first == "revoke":
        assert isinstance(outcome[0], ConflictError)
        assert "revoked" in str(outcome[0])
        assert active == []
    else:
        assert outcome[0].state(NOW) == "revoked"
        assert ident not in active
        assert len(active) == 1
    assert some.actions().count("key.rotated") == (1 if first == "rotate" else 0)
