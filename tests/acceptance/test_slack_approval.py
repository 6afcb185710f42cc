"""From a job that waits for people to Slack's message, to the click on its button, to the version that serves."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aihub.training.synthetic import generate_forecast_data
from receivers import Receiver, listening
from running_hub import RunningHub, hub_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def hub(tmp_path: Path, receiver: Receiver) -> Iterator[RunningHub]:
    """A hub whose Slack is the receiver."""
    file = tmp_path / "notify.json"
    environ = {"AIHUB_NOTIFY_FILE": str(file), "HOOK": receiver.url}
    with hub_at(tmp_path / "hub", environ) as hub:
        slack = {"kind": "slack", "url": {"env": "HOOK"}, "hosts": ["127.0.0.1"], "allow_private": True}
        routes = [{"channels": ["ops"]}]
        file.write_text(json.dumps({"base_url": hub.url, "channels": {"ops": slack}, "routes": routes}))
        hub.start("up", name="up")
        hub.wait_until_ready()
        yield hub


def message(receiver: Receiver, heading: str, seconds: float = 30.0) -> dict[str, Any]:
    """Wait for the message with a heading."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for _, _, body in list(receiver.requests):
            found: dict[str, Any] = json.loads(body)
            if heading in found["blocks"][0]["text"]["text"]:
                return found
        time.sleep(0.1)
    told = [json.loads(body)["text"] for _, _, body in receiver.requests]
    raise AssertionError(f"nobody was told {heading!r}, only {told}")


def facts(message: dict[str, Any]) -> str:
    """Labels and values of a message, as Slack gets them."""
    return "\n".join(field["text"] for block in message["blocks"] for field in block.get("fields", ()))


def buttons(message: dict[str, Any]) -> dict[str, str]:
    (actions,) = [block for block in message["blocks"] if block["type"] == "actions"]
    return {button["text"]["text"]: button["url"] for button in actions["elements"]}


def click(url: str, decision: str, key: str) -> httpx.Response:
    """Open the link as a browser does, then press the button of its form."""
    shown = httpx.get(url, timeout=30)
    assert shown.status_code == 200, shown.text
    assert f'value="{decision}"' in shown.text
    form = {"decision": decision, "key": key, "reason": "looked at the figures"}
    return httpx.post(url, data=form, timeout=30)


def test_what_waits_is_decided_from_slack(hub: RunningHub, receiver: Receiver, tmp_path: Path) -> None:
    generate_forecast_data(3000, seed=3).write_csv(tmp_path / "load.csv")
    config: dict[str, Any] = {"target": "load", "features": ["temperature", "humidity"], "backtest_folds": 0}
    bob = hub.key_of("bob", "approver")
    with hub.client() as client:
        data = client.datasets.upload(tmp_path / "load.csv").dataset_id

        def trained(trees: int) -> str:
            with_trees = {**config, "hyperparameters": {"n_estimators": trees}}
            job = client.jobs.submit(config=with_trees, name="load", dataset_id=data)
            return client.jobs.wait(job.job_id, timeout_s=90).job_id

        first = trained(20)
        asked = message(receiver, "load v1.0.0 waits for approval into production")
        assert re.search(r"\*gate:\*\npassed", facts(asked))
        assert re.search(r"\*mae:\*\n\d", facts(asked))
        assert list(buttons(asked)) == ["Open", "Approve", "Reject"]
        assert httpx.get(buttons(asked)["Open"], timeout=30).status_code == 200
        assert client.jobs.get(first).is_waiting, "opening decides nothing"
        own = click(buttons(asked)["Approve"], "approve", hub.admin_key)
        assert own.status_code == 403, "who asked does not decide"
        done = click(buttons(asked)["Approve"], "approve", bob)
        assert done.status_code == 200, done.text
        assert client.jobs.wait(first, timeout_s=60, through_approval=True).status == "completed"
        assert {one["environment"] for one in client.models.get("load").serving} == {"staging", "production"}
        message(receiver, "load v1.0.0 was approved for production")
        message(receiver, "load v1.0.0 serves in production")

        second = trained(120)
        (version, *_) = client.models.versions("load")
        asked = message(receiver, f"load {version.semantic} waits for approval into production")
        assert re.search(r"\*mae:\*\n[\d.]+ \(champion v1\.0\.0: [\d.]+, [+-]\d", facts(asked))
        assert click(buttons(asked)["Reject"], "reject", bob).status_code == 200
        ended = client.jobs.wait(second, timeout_s=60, through_approval=True)
        assert (ended.status, (ended.result or {})["delivery"]) == ("completed", "refused")
        message(receiver, f"load {version.semantic} was refused for production")
        assert click_again(buttons(asked)["Approve"], bob) == 409

        poor = {**config, "features": ["humidity"], "hyperparameters": {"n_estimators": 2}}
        strict = {"thresholds": {"mae": {"max": 0.001}}}
        job = client.jobs.submit(config=poor, name="poor", dataset_id=data, validation=strict)
        assert client.jobs.wait(job.job_id, timeout_s=90).gate_passed is False
        rejected = message(receiver, "poor v1.0.0 was rejected by its gate")
        assert "*failure:*" in facts(rejected)

        wrong = {**config, "features": ["no_such_column"]}
        job = client.jobs.submit(config=wrong, name="wrong", dataset_id=data)
        assert client.jobs.wait(job.job_id, timeout_s=90).status == "failed"
        assert "no_such_column" in facts(message(receiver, "a job of wrong failed"))


def click_again(url: str, key: str) -> int:
    form = {"decision": "approve", "key": key, "reason": "after all"}
    return httpx.post(url, data=form, timeout=30).status_code
