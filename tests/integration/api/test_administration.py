"""`aihub keys`, `tenants` and `audit` on a hub elsewhere: the commands that work on a machine's own database, over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from aihub.cli import main
from aihub.types import OPERATOR_TENANT, Role
from hubs import Api, give_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub

    Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(hub: Hub, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command as an operator of the hub; `key` speaks as somebody else."""
    operator = give_key(hub, "op", tenant=OPERATOR_TENANT)
    monkeypatch.setenv("AIHUB_URL", str(api.http.base_url))
    monkeypatch.delenv("AIHUB_TENANT", raising=False)
    # Nothing of this may come from files of this machine.
    monkeypatch.setenv("AIHUB_HOME", "/nowhere")

    def calling(*words: str, key: str = operator) -> tuple[int, str, str]:
        monkeypatch.setenv("AIHUB_API_KEY", key)
        code = main.run(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    # The application answers in this process: its log would be written into what the command prints.
    with structlog.testing.capture_logs():
        yield calling


def _json(answer: tuple[int, str, str]) -> Any:
    assert answer[0] == 0, answer[2]
    return json.loads(answer[1])


def test_the_life_of_a_key(call: Call) -> None:
    code, token, err = call("keys", "create", "--principal", "bob", "--role", "approver", "--days", "3")
    assert (code, token.startswith("hub_"), "shown only now" in err) == (0, True, True)
    first = token.split("_")[1]
    second = _json(call("keys", "rotate", first, "--overlap-hours", "0", "--json"))
    assert (second["principal"], second["role"], second["key"][:4]) == ("bob", "approver", "hub_")
    assert "does not count any more" in call("keys", "revoke", second["id"], "--reason", "lost")[1]
    listed = _json(call("keys", "list", "--all", "--json"))["keys"]
    states = {key["id"]: key["state"] for key in listed if key["principal"] == "bob"}
    assert states == {first: "expired", second["id"]: "revoked"}
    assert "bob" not in call("keys", "list")[1]
    events = _json(call("audit", "list", "--subject", f"key:{second['id']}", "--json"))["events"]
    assert events[0]["reason"] == "lost"
    older = _json(call("audit", "list", "--before", str(events[0]["sequence"]), "--limit", "1", "--json"))
    assert older["events"][0]["sequence"] == events[0]["sequence"] - 1


def test_an_operator_sees_every_tenant_and_others_their_own(hub: Hub, api: Api, call: Call) -> None:
    assert (
        _json(call("tenants", "create", "north", "--rule", "max_running_jobs=8", "--json"))["id"] == "north"
    )
    _json(call("keys", "create", "--tenant", "north", "--principal", "nora", "--role", "admin", "--json"))
    assert "nora" in call("keys", "list")[1]
    changed = _json(call("tenants", "set", "north", "--rule", "max_queued_jobs=9", "--inactive", "--json"))
    assert (changed["rules"], changed["is_active"]) == ({"max_running_jobs": 8, "max_queued_jobs": 9}, False)
    assert "max_queued_jobs=9, max_running_jobs=8" in call("tenants", "list")[1]
    assert "ann" in call("keys", "list")[1], "a tenant that is switched off does not hide the others"
    _json(call("tenants", "set", "north", "--active", "--json"))
    chains = _json(call("audit", "verify", "--json"))["chains"]
    assert {chain["tenant"] for chain in chains} >= {"*", "default", "north"}
    assert "nora" not in call("keys", "list", key=api.token)[1]
    assert _json(call("audit", "verify", "--json", key=api.token))["chains"][0]["tenant"] == "default"
    assert call("tenants", "list", key=api.token)[0] == 2
    viewer = give_key(hub, "eve", role=Role.VIEWER)
    code, _, err = call("keys", "create", "--principal", "eve", "--role", "admin", key=viewer)
    assert (code, "keys:write" in err) == (2, True)


def test_what_operators_did_is_for_operators(api: Api, call: Call) -> None:
    _json(call("tenants", "create", "south", "--json"))
    _json(call("keys", "create", "--tenant", "*", "--principal", "opal", "--role", "admin", "--json"))
    events = _json(call("audit", "list", "--tenant", "*", "--json"))["events"]
    assert events[0]["action"] == "key.created"
    (chain,) = _json(call("audit", "verify", "--tenant", "*", "--json"))["chains"]
    assert (chain["tenant"], chain["is_intact"], chain["events"]) == ("*", True, events[0]["sequence"])
    for path in ("/audit", "/audit/verify"):
        assert api.get(f"{path}?of_operators=true").status_code == 404
    assert call("audit", "list", "--tenant", "*", key=api.token)[0] == 2


def test_checkpoints_are_compared_where_the_database_is(call: Call) -> None:
    code, _, err = call("audit", "verify", "--against", "kept.jsonl")
    assert (code, "unset AIHUB_URL" in err) == (2, True)
