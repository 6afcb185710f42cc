from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pytest

from aihub.types import Role
from hubs import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.hub import Hub
    from hubs import Api

PATH = "/models/outside/versions"


@pytest.fixture(scope="module")
def booster() -> bytes:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2))
    data = lightgbm.Dataset(rows, rows[:, 0] * 2, feature_name=["temperature", "humidity"])
    params = {"verbose": -1, "num_threads": 1, "deterministic": True}
    return str(lightgbm.train(params, data, num_boost_round=5).model_to_string()).encode()


def test_a_booster_becomes_a_version(hub: Hub, api: Api, booster: bytes) -> None:
    query = {"git_commit": "a" * 40, "metrics": '{"mae": 3.5}', "target": "load", "filename": "model.txt"}
    key = {"Idempotency-Key": "first"}
    made = api.post(PATH, content=booster, params=query, headers=key)
    assert made.status_code == 201, made.text
    found = made.json()
    assert (found["version"], found["kind"], found["git_commit"]) == (1, "booster/1", "a" * 40)
    assert (found["metrics"], found["status"], found["report_digest"]) == ({"mae": 3.5}, "candidate", None)
    assert api.post(PATH, content=booster, params=query, headers=key).json() == found
    assert api.post(PATH, content=booster, params=query).json()["version"] == 1
    artefact = api.get(f"{PATH}/1/artifact").content
    again = api.post("/models/copy/versions", content=artefact)
    assert (again.status_code, again.json()["digest"]) == (201, found["digest"])
    assert list((hub.settings.home / "uploads").iterdir()) == []
    lineage = api.get(f"{PATH}/1/lineage").json()
    assert lineage["config"]["features"] == ["temperature", "humidity"]
    assert lineage["requested_by"] == "ann"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (__import__("os").system, ("touch /tmp/aihub-was-here",))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_is_no_model_is_refused_and_leaves_nothing(hub: Hub, api: Api, booster: bytes) -> None:
    wrong = [
        b"",
        b"x",
        booster[: len(booster) // 2],
        b"PK\x03\x04" + b"x" * 50,
        pickle.dumps(Evil()),
        pickle.dumps([1]),
    ]
    for content in wrong:
        answer = api.post(PATH, content=content)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_artifact"), content[:20]
        assert str(hub.settings.home) not in answer.text
    assert list((hub.settings.home / "uploads").iterdir()) == []
    assert api.get(PATH).status_code == 404
    other = api.post(PATH, content=booster, headers={"X-Content-SHA256": "0" * 64})
    assert (other.status_code, "arrived" in other.json()["detail"]) == (422, True)
    for query in (
        {"git_commit": "HEAD"},
        {"metrics": "[1]"},
        {"metrics": '{"mae": NaN}'},
        {"metrics": '{"mae": "x"}'},
        {"model_type": "x"},
    ):
        assert api.post(PATH, content=booster, params=query).status_code == 422


def test_a_refused_pickle_says_what_a_caller_can_do(api: Api) -> None:
    answer = api.post(PATH, content=pickle.dumps(print))
    assert answer.status_code == 422, answer.text
    assert "trust" not in answer.json()["detail"]
    assert "save_model" in answer.json()["detail"]


def test_who_may_not_register_does_not(calls: Callable[..., Api], booster: bytes) -> None:
    assert calls("vera", Role.VIEWER).post(PATH, content=booster).status_code == 403
    assert calls("tom", Role.TRAINER).post(PATH, content=booster).status_code == 201


def test_two_versions_are_compared(hub: Hub, api: Api, calls: Callable[..., Api]) -> None:
    checks = [{"name": "performance", "outcome": "passed"}]
    register(hub, metrics={"mae": 4.0, "rmse": 5.0}, report={"passed": True, "results": checks})
    register(hub, content=b"2", metrics={"mae": 3.0}, config={"seed": 1})
    register(hub, content=b"3", config={"horizon": 48})
    found = api.post("/models/load/compare", {"baseline": 1, "candidate": "v1.1.0"}).json()
    assert found["change"] == "recipe"
    assert found["metrics"][0] == {"name": "mae", "baseline": 4.0, "candidate": 3.0, "change": -0.25}
    assert found["metrics"][1]["candidate"] is None
    assert {"field": "config.seed", "baseline": 0, "candidate": 1} in found["lineage"]
    assert found["gate"] == [{"name": "performance", "baseline": "passed", "candidate": None}]
    contract = api.post("/models/load/compare", {"baseline": 1, "candidate": 3}).json()
    assert contract["change"] == "contract"
    assert api.post("/models/load/compare", {"baseline": 1, "candidate": 1}).json()["change"] == "none"
    assert api.post("/models/load/compare", {"baseline": 1, "candidate": 9}).status_code == 404
    assert (
        calls("eve", tenant="north").post("/models/load/compare", {"baseline": 1, "candidate": 2}).status_code
        == 404
    )
