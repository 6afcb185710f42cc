"""`aihub keys`, `tenants` and `audit` on a hub of their own."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from aihub.cli.main import run
from aihub.store.credentials import id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Called = tuple[int, str, str]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Called]:
    """Run a command of the hub in a folder of its own; code, output, errors."""
    monkeypatch.setenv("AIHUB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIHUB_MLFLOW_TRACKING_URI", "off")
    monkeypatch.delenv("AIHUB_DATABASE_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def calling(*words: str) -> Called:
        code = run(list(words))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return calling


def _key(call: Callable[..., Called], *more: str) -> dict[str, Any]:
    code, out, _ = call("keys", "create", "--principal", "ann", "--role", "trainer", "--json", *more)
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_key_is_shown_once_and_alone_on_standard_output(call: Callable[..., Called]) -> None:
    call("tenants", "create", "default")
    code, out, err = call("keys", "create", "--principal", "ann", "--role", "trainer")
    assert code == 0
    assert id_of(out.strip())
    assert "shown only now" in err
    secret = out.strip().split("_", 2)[2]
    for words in (("keys", "list", "--all"), ("keys", "list", "--json"), ("audit", "export")):
        code, listed, _ = call(*words)
        assert code == 0
        assert "ann" in listed
        assert secret not in listed


def test_the_life_of_a_key(call: Callable[..., Called]) -> None:
    call("tenants", "create", "default")
    first = _key(call, "--scope", "jobs:write")
    code, out, _ = call("keys", "rotate", first["id"], "--overlap-hours", "0", "--json")
    second = json.loads(out)
    assert (code, second["scopes"]) == (0, ["jobs:write"])
    assert call("keys", "revoke", second["id"], "--reason", "lost")[0] == 0
    assert "No key" in call("keys", "list")[1]
    states = {
        key["id"]: key["state"] for key in json.loads(call("keys", "list", "--all", "--json")[1])["keys"]
    }
    assert states == {first["id"]: "expired", second["id"]: "revoked"}
    code, out, _ = call("audit", "list", "--json")
    assert [event["action"] for event in json.loads(out)["events"]] == [
        "key.revoked", "key.rotated", "key.created", "key.created", "tenant.created",
    ]  # fmt: skip
    assert json.loads(out)["events"][0]["reason"] == "lost"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("keys", "create", "--tenant", "nobody", "--principal", "a", "--role", "viewer"),
            "no tenant 'nobody'",
        ),
        (("keys", "revoke", "0123456789abcdef"), "no key"),
        (("tenants", "set", "nobody", "--inactive"), "no tenant"),
        (("tenants", "create", "Upper"), "cannot be a name"),
        (("tenants", "create", "x", "--rule", "max_running_jobs"), "NAME=VALUE"),
        (("tenants", "create", "x", "--rule", "max_runing_jobs=3"), "Did you mean 'max_running_jobs'"),
        (("tenants", "create", "x", "--rule", "max_running_jobs=0"), "max_running_jobs"),
        (("audit", "verify", "--against", "/nowhere"), "cannot be read"),
        (("audit", "role", 'x"; DROP'), "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_bad_input(
    call: Callable[..., Called], words: tuple[str, ...], message: str
) -> None:
    code, _, err = call(*words)
    assert code == 2
    assert message in err


def test_tenants_are_made_changed_and_listed(call: Callable[..., Called]) -> None:
    assert "No tenant" in call("tenants", "list")[1]
    assert (
        call("tenants", "create", "acme", "--rule", "max_running_jobs=8", "--rule", "auto_deploy=[]")[0] == 0
    )
    code, out, _ = call("tenants", "set", "acme", "--rule", "auto_deploy=", "--inactive", "--json")
    assert code == 0
    assert json.loads(out)["rules"] == {"max_running_jobs": 8}
    assert json.loads(out)["is_active"] is False
    assert "acme" in call("tenants", "list")[1]


def test_generated_keys_are_stored_nowhere(call: Callable[..., Called]) -> None:
    assert id_of(call("keys", "generate")[1].strip())
    assert "No key" in call("keys", "list")[1]


def test_verify_ends_with_one_where_something_was_changed(
    call: Callable[..., Called], tmp_path: Path
) -> None:
    for name in ("acme", "bolt"):
        call("tenants", "create", name)
    _ = [_key(call, "--tenant", "acme") for _ in range(2)]
    kept = tmp_path / "elsewhere.jsonl"
    assert call("audit", "checkpoint", "--to", str(kept))[0] == 0
    assert call("audit", "verify", "--against", str(kept))[0] == 0
    database = sqlite3.connect(tmp_path / "home" / "hub.db")
    database.execute("DROP TRIGGER audit_no_update")
    database.execute("DROP TRIGGER audit_no_delete")
    database.execute("DELETE FROM audit WHERE tenant_id = 'acme' AND sequence = 3")
    database.commit()
    code, out, _ = call("audit", "verify")
    assert (code, "only seen with --against" in out) == (0, True)
    code, out, _ = call("audit", "verify", "--against", str(kept), "--json")
    chains = {chain["tenant"]: chain for chain in json.loads(out)["chains"]}
    assert (code, chains["acme"]["first_bad"], chains["bolt"]["is_intact"]) == (1, 3, True)
    database.execute("UPDATE audit SET actor = 'eve' WHERE tenant_id = 'acme' AND sequence = 2")
    database.commit()
    database.close()
    code, out, _ = call("audit", "verify", "--tenant", "acme")
    assert (code, "event 2 was changed" in out) == (1, True)
    assert call("audit", "checkpoint")[0] == 1
    kept.write_text(kept.read_text().replace('"sequence": 3', '"sequence": 2'))
    code, _, err = call("audit", "verify", "--against", str(kept))
    assert (code, "not signed by this hub" in err) == (1, True)


def test_what_others_wrote_does_not_steer_the_terminal(call: Callable[..., Called]) -> None:
    call("tenants", "create", "default")
    call("tenants", "set", "default", "--inactive", "--reason", "x\x1b[2Jy\nz")
    assert "\x1b" not in call("audit", "list")[1]
