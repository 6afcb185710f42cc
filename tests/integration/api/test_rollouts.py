"""`aihub rollouts` and the client: what runs beside the champion is seen, promoted and ended by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import structlog

from aihub import Client
from aihub.cli import main
from aihub.errors import ConflictError
from hubs import Api, beside, register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aihub.hub import Hub


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The application answers in this process: its log would be written into what the command prints."""
    with structlog.testing.capture_logs():
        yield


def test_a_rollout_is_listed_promoted_and_stopped(
    hub: Hub, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIHUB_URL", str(api.http.base_url))
    monkeypatch.setenv("AIHUB_API_KEY", api.token)

    def shown(*words: str) -> str:
        assert main.run(["models", *words]) == 0
        return capsys.readouterr().out

    def call(*words: str) -> tuple[int, str]:
        code = main.run(["rollouts", *words])
        return code, capsys.readouterr().out

    first, second, third = (register(hub, content=content) for content in (b"1", b"2", b"3"))
    hub.registry.deploy("load", first.number, actor="ann", reason="test", now=datetime.now(UTC))
    assert call("list", "load") == (0, "Nothing runs beside the champion of load.\n")
    canary = beside(hub, second, "canary", since=datetime.now(UTC), champion_sequence=1, reason="try it").uid
    code, listed = call("list", "load")
    assert code == 0
    assert canary in listed
    assert "canary" in listed
    assert "try it" in listed
    (running,) = api.get("/models/load").json()["rollouts"]
    assert api.get("/models").json()["items"][0]["rollouts"] == [running]
    since = datetime.fromisoformat(running.pop("since"))
    assert running == {
        "id": canary, "environment": "production", "version": 2, "semantic": str(second.semantic),
        "strategy": "canary", "share": 0.05,
    }  # fmt: skip
    says = f"(canary 5 % since {since:%Y-%m-%d %H:%M})"
    assert f"{first.semantic}, {second.semantic} {says}" in shown()
    assert f"production {says}" in shown("load")
    monkeypatch.delenv("AIHUB_URL")
    monkeypatch.setenv("AIHUB_HOME", str(hub.settings.home))
    monkeypatch.setenv("AIHUB_DATABASE_URL", hub.settings.database_url)
    monkeypatch.setenv("AIHUB_AUDIT_KEY", "k" * 32)
    assert f"{first.semantic}, {second.semantic} {says}" in shown()
    assert f"production {says}" in shown("load")
    assert json.loads(shown("load", "--json"))["rollouts"][0]["share"] == 0.05
    monkeypatch.setenv("AIHUB_URL", str(api.http.base_url))
    code, said = call("promote", "load", canary, "--reason", "good enough")
    assert (code, said) == (0, f"load {second.semantic} (version 2) serves in production\n")
    with Client(str(api.http.base_url), api_key=api.token) as client, pytest.raises(ConflictError):
        client.models.stop_rollout("load", canary, reason="too late")
    shadow = beside(hub, third, "shadow", since=datetime.now(UTC), champion_sequence=1, reason="try it").uid
    code, said = call("stop", "load", shadow, "--reason", "worse", "--json")
    assert (code, json.loads(said)["id"]) == (0, shadow)
    assert call("list", "load")[1].startswith("Nothing runs")
    assert api.get("/models/load").json()["rollouts"] == []
    ended = json.loads(call("list", "load", "--all", "--json")[1])["rollouts"]
    assert [one["id"] for one in ended] == [shadow, canary]
    assert call("stop", "load", "rol_0", "--reason", "none")[0] == 2
