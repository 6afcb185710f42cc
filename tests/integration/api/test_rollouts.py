"""`aihub rollouts` and the client: what runs beside the champion is seen, promoted and ended by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import structlog

from aihub import Client
from aihub.cli import main
from aihub.delivery import rollouts
from aihub.delivery.strategy import Strategy
from aihub.errors import ConflictError
from aihub.registry.promotion import Order
from aihub.registry.records import Action
from aihub.store.engine import write
from hubs import Api, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from aihub.hub import Hub
    from aihub.registry.records import Version


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The application answers in this process: its log would be written into what the command prints."""
    with structlog.testing.capture_logs():
        yield


def started(hub: Hub, version: Version, kind: Literal["canary", "shadow"]) -> str:
    order = Order(
        action=Action.DEPLOY, environment="production", actor="ann", reason="try it", now=datetime.now(UTC), key=None,
        expected_sequence=None,
    )  # fmt: skip
    with write(hub.engine, tenant="default") as connection:
        made = rollouts.start(
            connection, hub.registry, version, order, strategy=Strategy(kind=kind), champion_sequence=1
        )
    return made.uid


def test_a_rollout_is_listed_promoted_and_stopped(
    hub: Hub, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIHUB_URL", str(api.http.base_url))
    monkeypatch.setenv("AIHUB_API_KEY", api.token)

    def call(*words: str) -> tuple[int, str]:
        code = main.run(["rollouts", *words])
        return code, capsys.readouterr().out

    first, second, third = (register(hub, content=content) for content in (b"1", b"2", b"3"))
    hub.registry.deploy("load", first.number, actor="ann", reason="test", now=datetime.now(UTC))
    assert call("list", "load") == (0, "Nothing runs beside the champion of load.\n")
    canary = started(hub, second, "canary")
    code, listed = call("list", "load")
    assert code == 0
    assert canary in listed
    assert "canary" in listed
    assert "try it" in listed
    code, said = call("promote", "load", canary, "--reason", "good enough")
    assert (code, said) == (0, f"load {second.semantic} (version 2) serves in production\n")
    with Client(str(api.http.base_url), api_key=api.token) as client, pytest.raises(ConflictError):
        client.models.stop_rollout("load", canary, reason="too late")
    shadow = started(hub, third, "shadow")
    code, said = call("stop", "load", shadow, "--reason", "worse", "--json")
    assert (code, json.loads(said)["id"]) == (0, shadow)
    assert call("list", "load")[1].startswith("Nothing runs")
    ended = json.loads(call("list", "load", "--all", "--json")[1])["rollouts"]
    assert [one["id"] for one in ended] == [shadow, canary]
    assert call("stop", "load", "rol_0", "--reason", "none")[0] == 2
