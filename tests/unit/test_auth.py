"""From a credential to an identity, on a real hub over SQLite."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aihub import auth
from aihub.access import SCOPES, Verified
from aihub.errors import ConfigError, ForbiddenError, NotFoundError, UnauthorizedError
from aihub.settings import DEFAULT_TENANT, Settings
from aihub.store import keys, tenants
from aihub.store.credentials import NewKey, id_of, new_token
from aihub.store.engine import EVERY_TENANT, read, write
from aihub.types import OPERATOR_TENANT, Identity, Role
from hubs import hub_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aihub.hub import Hub

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    hub: Hub
    clock: Clock = field(default_factory=Clock)

    def authenticator(self, **more: Any) -> auth.Authenticator:
        return auth.Authenticator(self.hub.engine, self.hub.audit, clock=self.clock, **more)

    def key(self, **more: Any) -> NewKey:
        wanted = {"tenant": "acme", "principal": "ann", "role": Role.TRAINER, "now": NOW, **more}
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return keys.issue(connection, actor="root", audit=self.hub.audit, **wanted)

    def revoke(self, key_id: str) -> None:
        with write(self.hub.engine, tenant=EVERY_TENANT) as connection:
            keys.revoke(connection, key_id, tenant=None, actor="root", now=NOW, audit=self.hub.audit)

    def last_used(self, key_id: str) -> datetime | None:
        with read(self.hub.engine, tenant=EVERY_TENANT) as connection:
            return keys.get(connection, key_id, tenant=None).last_used_at


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with hub_in(tmp_path) as hub:
        with write(hub.engine, tenant=EVERY_TENANT) as connection:
            tenants.create(connection, "acme", actor="root", now=NOW, audit=hub.audit)
        yield House(hub)


def test_a_key_stands_for_its_principal(house: House) -> None:
    made = house.key(scopes=["jobs:write"])
    identity = house.authenticator().authenticate(made.token, NOW)
    assert (identity.tenant, identity.principal, identity.role) == ("acme", "ann", Role.TRAINER)
    assert not identity.is_operator
    identity.require("jobs:write")
    with pytest.raises(ForbiddenError, match="jobs:read"):
        identity.require("jobs:read")


def test_every_bad_credential_gets_the_same_answer(house: House) -> None:
    good, ended, gone = house.key(), house.key(expires_at=NOW + timedelta(minutes=1)), house.key()
    house.revoke(gone.key.id)
    prefix, secret = good.token[:21], good.token[21:]
    bad = [
        ended.token,
        gone.token,
        new_token(),
        prefix + ended.token[21:],
        prefix + secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        good.token[:-1],
        good.token + "x",
        good.token.upper(),
        " " + good.token,
        "hub_",
        "hub_\x00",
        "\ud800",
        "eyJhbGciOiJub25lIn0.e30.",
        "x" * 100_000,
    ]
    authenticator = house.authenticator()
    later = NOW + timedelta(minutes=1)
    said = set()
    for token in bad:
        with pytest.raises(UnauthorizedError) as caught:
            authenticator.authenticate(token, later)
        said.add(str(caught.value))
        assert token not in str(caught.value)
    assert len(said) == 1
    assert authenticator.authenticate(good.token, later).principal == "ann"


def test_hashes_are_compared_in_constant_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    real = hmac.compare_digest

    def compare(a: str, b: str) -> bool:
        seen.append((a, b))
        return real(a, b)

    monkeypatch.setattr(auth.hmac, "compare_digest", compare)
    made = house.key()
    house.authenticator().authenticate(made.token, NOW)
    # An id that nobody has costs the same comparison.
    with pytest.raises(UnauthorizedError):
        house.authenticator().authenticate(new_token(), NOW)
    assert [len(a) == len(b) == 64 for a, b in seen] == [True, True]


def test_a_revoked_key_ends_within_five_seconds_and_here_at_once(house: House) -> None:
    made = house.key()
    here, elsewhere = house.authenticator(), house.authenticator()
    for authenticator in (here, elsewhere):
        authenticator.authenticate(made.token, NOW)
    house.revoke(made.key.id)
    here.forget()
    with pytest.raises(UnauthorizedError):
        here.authenticate(made.token, NOW)
    house.clock.now += 4.9
    elsewhere.authenticate(made.token, NOW)
    house.clock.now += 0.2
    with pytest.raises(UnauthorizedError):
        elsewhere.authenticate(made.token, NOW)


def test_a_remembered_key_still_expires_on_time(house: House) -> None:
    made = house.key(expires_at=NOW + timedelta(seconds=2))
    authenticator = house.authenticator()
    authenticator.authenticate(made.token, NOW)
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate(made.token, NOW + timedelta(seconds=2))


def test_keys_of_a_tenant_that_was_switched_off_do_not_count(house: House) -> None:
    made = house.key()
    with write(house.hub.engine, tenant=EVERY_TENANT) as c:
        tenants.change(c, "acme", is_active=False, actor="root", now=NOW, audit=house.hub.audit)
    with pytest.raises(UnauthorizedError):
        house.authenticator().authenticate(made.token, NOW)


def test_the_last_use_is_written_at_most_once_a_minute(house: House) -> None:
    made = house.key()
    authenticator = house.authenticator()
    authenticator.authenticate(made.token, NOW)
    _until(lambda: house.last_used(made.key.id) == NOW)
    later = NOW + timedelta(seconds=30)
    house.clock.now += 30
    authenticator.authenticate(made.token, later)
    assert house.last_used(made.key.id) == NOW
    authenticator.close()
    assert house.last_used(made.key.id) == later
    authenticator.close()


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_tenants_key_acts_nowhere_else_and_learns_nothing(house: House) -> None:
    authenticator = house.authenticator()
    identity = authenticator.authenticate(house.key(role=Role.ADMIN).token, NOW)
    assert authenticator.acting_in(identity, None, NOW) is identity
    assert authenticator.acting_in(identity, "acme", NOW) is identity
    said = set()
    for other in (DEFAULT_TENANT, "nobody"):
        with pytest.raises(NotFoundError) as caught:
            authenticator.acting_in(identity, other, NOW, create=True)
        said.add(str(caught.value).replace(other, "?"))
    assert len(said) == 1


def test_an_operator_acts_in_any_tenant_and_makes_new_ones(house: House) -> None:
    token = auth.bootstrap(house.hub, NOW)
    authenticator = house.authenticator()
    identity = replace(authenticator.authenticate(token, NOW), source="api 127.0.0.1 req_1")
    assert (identity.tenant, identity.is_operator, identity.scopes) == (DEFAULT_TENANT, True, SCOPES)
    assert authenticator.acting_in(identity, "acme", NOW).tenant == "acme"
    with pytest.raises(NotFoundError):
        authenticator.acting_in(identity, "ci-baseline", NOW)
    assert authenticator.acting_in(identity, "ci-baseline", NOW, create=True).tenant == "ci-baseline"
    with read(house.hub.engine, tenant="ci-baseline") as connection:
        assert house.hub.audit.verify(connection, tenant="ci-baseline").events == 1
    viewer = house.key(tenant=OPERATOR_TENANT, role=Role.VIEWER, principal="eve")
    seeing = authenticator.authenticate(viewer.token, NOW)
    with pytest.raises(NotFoundError):
        authenticator.acting_in(seeing, "new", NOW, create=True)
    with write(house.hub.engine, tenant=EVERY_TENANT) as c:
        tenants.change(c, "acme", is_active=False, actor="root", now=NOW, audit=house.hub.audit)
    authenticator.forget()
    with pytest.raises(ForbiddenError, match="switched off"):
        authenticator.acting_in(identity, "acme", NOW)


def test_the_first_start_makes_one_operators_key(house: House) -> None:
    token = auth.bootstrap(house.hub, NOW)
    assert token is not None
    assert auth.bootstrap(house.hub, NOW) is None
    identity = house.authenticator().authenticate(token, NOW)
    assert (identity.principal, identity.role) == (auth.BOOTSTRAP_PRINCIPAL, Role.ADMIN)
    with read(house.hub.engine, tenant=EVERY_TENANT) as connection:
        assert tenants.find(connection, DEFAULT_TENANT) is not None


def test_the_first_key_may_come_from_the_environment(house: House, tmp_path: Path) -> None:
    token = new_token()
    settings = Settings(home=tmp_path, bootstrap_key=token)
    hub = replace(house.hub, settings=settings)
    assert auth.bootstrap(hub, NOW) is None
    assert auth.bootstrap(hub, NOW) is None
    assert house.authenticator().authenticate(token, NOW).is_operator
    house.revoke(str(id_of(token)))
    assert auth.bootstrap(hub, NOW) is None
    with pytest.raises(UnauthorizedError):
        house.authenticator().authenticate(token, NOW)
    bad = replace(house.hub, settings=Settings(home=tmp_path, bootstrap_key="letmein"))
    with pytest.raises(ConfigError, match="aihub keys generate") as caught:
        auth.bootstrap(bad, NOW)
    assert "letmein" not in str(caught.value)


def test_nobody_is_let_in_unless_asked_for(house: House) -> None:
    for nothing in (None, ""):
        with pytest.raises(UnauthorizedError, match="Authorization: Bearer"):
            house.authenticator().authenticate(nothing, NOW)
    open_to_all = house.authenticator(anonymous_role=Role.TRAINER)
    identity = open_to_all.authenticate(None, NOW)
    assert (identity.principal, identity.tenant) == (auth.ANONYMOUS, DEFAULT_TENANT)
    with pytest.raises(ForbiddenError):
        identity.require("approvals:decide")
    with pytest.raises(UnauthorizedError):
        open_to_all.authenticate("hub_wrong", NOW)


@dataclass
class Badge:
    """A verifier of tokens such as `badge ann`."""

    asked: int = 0
    expires_at: datetime | None = None

    def verify(self, token: str, now: datetime) -> Verified | None:
        del now
        self.asked += 1
        if not token.startswith("badge "):
            return None
        if token.endswith("eve"):
            raise UnauthorizedError("no")
        identity = Identity(
            tenant="acme", principal=token[6:], role=Role.VIEWER, scopes=frozenset({"jobs:read"})
        )
        return Verified(identity=identity, expires_at=self.expires_at)


def test_other_kinds_of_credential_are_asked_of_their_verifiers(house: House) -> None:
    badge = Badge(expires_at=NOW + timedelta(seconds=3))
    authenticator = house.authenticator(verifiers=[badge])
    for _ in range(3):
        assert authenticator.authenticate("badge ann", NOW).principal == "ann"
    assert badge.asked == 1
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate("badge ann", NOW + timedelta(seconds=3))
    for token in ("badge eve", "other"):
        with pytest.raises(UnauthorizedError):
            authenticator.authenticate(token, NOW)
    before = badge.asked
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate(new_token(), NOW)
    assert badge.asked == before


def test_other_credentials_of_a_tenant_that_was_switched_off_do_not_count(house: House) -> None:
    with write(house.hub.engine, tenant=EVERY_TENANT) as c:
        tenants.change(c, "acme", is_active=False, actor="root", now=NOW, audit=house.hub.audit)
    with pytest.raises(UnauthorizedError):
        house.authenticator(verifiers=[Badge()]).authenticate("badge ann", NOW)


def test_a_hub_that_takes_workflows_knows_their_sessions(house: House) -> None:
    settings = house.hub.settings.model_copy(update={"github_audience": "hub"})
    authenticator = auth.Authenticator.of(replace(house.hub, settings=settings))
    assert len(authenticator._verifiers) == len(auth.Authenticator.of(house.hub)._verifiers) + 1
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate("hubgh_" + "0" * 16 + "_" + "a" * 43, NOW)


def test_what_is_remembered_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 3)
    authenticator = house.authenticator(verifiers=[Badge()])
    for number in range(10):
        authenticator.authenticate(f"badge {number}", NOW)
    assert len(authenticator._known) <= 3
