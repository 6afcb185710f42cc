from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aihub.errors import ArtifactError, ConflictError, InputError, NotFoundError
from aihub.registry.artifacts import ArtifactStore, Manifest, pack
from aihub.registry.lineage import Lineage, collect
from aihub.registry.records import Action, Status
from aihub.registry.registry import Registry
from aihub.store.audit import AuditLog

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BY: dict[str, Any] = {"actor": "ann", "reason": "because", "now": NOW}


@pytest.fixture
def registry(database: Engine, tmp_path: Path) -> Registry:
    return Registry(database, ArtifactStore(tmp_path / "artifacts"), AuditLog(b"k" * 32))


def lineage(**config: object) -> Lineage:
    given = {
        "model_type": "forecast",
        "features": ["t"],
        "target": "load",
        "algorithm": "lgbm",
        "seed": 0,
        **config,
    }
    return collect(given, {"sha256": "0" * 64, "rows": 10}, requested_by="ann", now=NOW)


def register(registry: Registry, content: bytes = b"1", **given: Any) -> Any:
    digest = registry.artifacts.put(pack({"model.json": content}, Manifest(kind="forecast/1", name="load")))
    arguments = {"status": "candidate", "actor": "ann", "now": NOW, "report": {"passed": True}, **given}
    config = arguments.pop("config", {})
    return registry.register_version(arguments.pop("model", "load"), digest, lineage(**config), **arguments)


def test_a_rejected_version_keeps_its_number_and_is_followed_by_nothing(registry: Registry) -> None:
    refused = {"status": "rejected", "report": {"passed": False}}
    made = [
        register(registry),
        register(registry, config={"horizon": 48}, **refused),
        register(registry, config={"training_end": "2026-01-01"}),
        register(registry, config={"horizon": 72}),
        register(registry, config={"horizon": 72, "training_end": "2026-02-01"}, **refused),
        register(registry, config={"horizon": 72, "training_end": "2026-03-01"}),
    ]
    assert [str(v.semantic) for v in made] == ["v1.0.0", "v2.0.0", "v1.0.1", "v3.0.0", "v3.0.1", "v3.0.2"]


def test_a_metric_without_a_value_is_left_out(registry: Registry) -> None:
    made = register(registry, metrics={"mae": 1.5, "mape": float("inf"), "r2_score": float("nan")})
    assert made.metrics == {"mae": 1.5}


def test_versions_are_numbered_and_named_from_their_lineage(registry: Registry) -> None:
    made = [
        register(registry),
        register(registry, config={"training_end": "2026-01-01"}),
        register(registry, config={"algorithm": "xgboost"}),
        register(registry, config={"algorithm": "xgboost", "horizon": 48}),
    ]
    assert [v.number for v in made] == [1, 2, 3, 4]
    assert [str(v.semantic) for v in made] == ["v1.0.0", "v1.0.1", "v1.1.0", "v2.0.0"]
    assert registry.versions("load") == made
    assert registry.version("load", "v1.1.0") == registry.version("load", 3) == made[2]
    assert registry.models() == ["load"]
    assert registry.report(made[0]) == {"passed": True}


def test_the_same_key_makes_one_version(registry: Registry) -> None:
    first = register(registry, key="job-1")
    assert register(registry, key="job-1") == first
    with pytest.raises(ConflictError, match="job-1"):
        register(registry, b"2", key="job-1")
    assert len(registry.versions("load")) == 1


def test_an_artefact_has_to_be_stored_and_whole(registry: Registry) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        registry.register_version("load", "0" * 64, lineage(), status="candidate", actor="ann", now=NOW)


def test_a_report_that_failed_makes_no_candidate(registry: Registry) -> None:
    for report in ({"passed": False}, {"passed": None}, {"passed": "yes"}, {}):
        with pytest.raises(InputError):
            register(registry, report=report)
    assert register(registry, report={"passed": False}, status="rejected").status is Status.REJECTED


def test_deploying_moves_the_champion_and_keeps_history(registry: Registry) -> None:
    register(registry)
    register(registry)
    assert registry.champion("load") is None
    registry.deploy("load", 1, **BY)
    second = registry.deploy("load", "v1.0.1", **{**BY, "now": NOW + timedelta(hours=2)})
    champion = registry.champion("load")
    assert champion is not None
    assert champion.number == 2
    newest, oldest = registry.history("load")
    assert newest == second
    assert oldest.ended_at - oldest.started_at == timedelta(hours=2)
    assert (oldest.ended_by, newest.sequence, newest.is_champion) == (Action.DEPLOY, 2, True)
    assert registry.champion("load", "staging") is None


def test_deploying_the_champion_again_changes_nothing(registry: Registry) -> None:
    register(registry)
    assert registry.deploy("load", 1, **BY) == registry.deploy("load", 1, **BY)
    assert len(registry.history("load")) == 1


def test_the_same_key_deploys_once(registry: Registry) -> None:
    register(registry)
    register(registry)
    first = registry.deploy("load", 1, **BY, key="k")
    registry.deploy("load", 2, **BY)
    assert registry.deploy("load", 1, **BY, key="k").uid == first.uid
    champion = registry.champion("load")
    assert champion is not None
    assert champion.number == 2, "a repeated request does not undo what came after it"
    with pytest.raises(ConflictError, match="was used"):
        registry.deploy("load", 2, **BY, key="k")


def test_a_rejected_version_is_never_deployed(registry: Registry) -> None:
    register(registry, status="rejected", report={"passed": False})
    with pytest.raises(ConflictError, match="rejected"):
        registry.deploy("load", 1, **BY)
    assert registry.history("load") == []


def test_a_damaged_artefact_keeps_the_champion(registry: Registry) -> None:
    register(registry)
    bad = register(registry, b"2")
    registry.deploy("load", 1, **BY)
    registry.artifact_path(bad).write_bytes(b"damaged")
    with pytest.raises(ArtifactError):
        registry.deploy("load", 2, **BY)
    champion = registry.champion("load")
    assert champion is not None
    assert champion.number == 1


def test_rolling_back_goes_to_the_last_good_version(registry: Registry) -> None:
    for _ in range(3):
        register(registry)
    for number in (1, 2, 3):
        registry.deploy("load", number, **BY)
    assert registry.rollback("load", **BY).version == 2
    assert registry.rollback("load", **BY, key="k").version == 1, "3 was rolled back, so it is not good"
    assert registry.rollback("load", **BY, key="k").version == 1
    with pytest.raises(ConflictError, match="no earlier good version"):
        registry.rollback("load", **BY)
    assert registry.rollback("load", "v1.0.2", **BY).version == 3, "a person may name it"


def test_a_rollback_has_reasons_to_be_refused(registry: Registry) -> None:
    register(registry)
    register(registry)
    register(registry, status="rejected", report={"passed": False})
    registry.deploy("load", 1, **BY)
    with pytest.raises(ConflictError, match="champion already"):
        registry.rollback("load", 1, **BY)
    with pytest.raises(ConflictError, match="never deployed"):
        registry.rollback("load", 2, **BY)
    with pytest.raises(ConflictError, match="rejected"):
        registry.rollback("load", 3, **BY)
    with pytest.raises(NotFoundError):
        registry.rollback("load", "v9.9.9", **BY)
    with pytest.raises(NotFoundError):
        registry.rollback("lode", **BY)


def test_a_decision_on_an_old_champion_is_refused(registry: Registry) -> None:
    register(registry)
    register(registry)
    registry.deploy("load", 1, **BY, expected_sequence=0)
    with pytest.raises(ConflictError, match="at deployment 1"):
        registry.deploy("load", 2, **BY, expected_sequence=0)


def test_of_two_that_race_one_wins(registry: Registry) -> None:
    for _ in range(4):
        register(registry)
    outcomes: list[object] = []

    def deploy(number: int) -> None:
        try:
            outcomes.append(registry.deploy("load", number, **BY, expected_sequence=0))
        except ConflictError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=deploy, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 3
    assert len(registry.history("load")) == 1


def test_racing_registrations_get_different_numbers(registry: Registry) -> None:
    threads = [threading.Thread(target=register, args=(registry, str(i).encode())) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [v.number for v in registry.versions("load")] == [1, 2, 3, 4, 5, 6]


def test_tenants_do_not_see_each_other(registry: Registry) -> None:
    other = Registry(registry.engine, registry.artifacts, registry.audit, "other")
    version = register(registry)
    registry.deploy("load", 1, **BY)
    assert other.models() == []
    assert other.versions("load") == []
    assert other.history("load") == []
    assert other.champion("load") is None
    assert other.report(version) is None
    for attempt in (lambda: other.deploy("load", 1, **BY), lambda: other.rollback("load", **BY)):
        with pytest.raises(NotFoundError):
            attempt()
    assert register(other).number == 1


@pytest.mark.parametrize(
    "bad", [{"actor": " "}, {"reason": ""}, {"key": "k" * 129}, {"environment": "Prod!"}]
)
def test_who_and_why_are_asked_for(registry: Registry, bad: dict[str, str]) -> None:
    register(registry)
    with pytest.raises(InputError):
        registry.deploy("load", 1, **{**BY, **bad})
