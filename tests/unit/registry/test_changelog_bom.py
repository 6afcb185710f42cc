"""What a version's papers say: changelog and bill of materials."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from aihub.registry.bom import bill_of_materials
from aihub.registry.changelog import changelog
from aihub.registry.records import Action, Status
from versions import START, artifact_of, deployment_of, version_of


def test_a_changelog_says_what_changed_what_it_brought_and_where_it_served() -> None:
    first = version_of(1)
    second = version_of(
        2, config={"hyperparameters": {"max_depth": 7}, "algorithm": "xgboost"}, metrics={"mae": 36.0}
    )
    ended = {"ended_at": START + timedelta(days=9), "ended_by": Action.ROLLBACK}
    text = changelog("load", [second, first], [deployment_of(first), deployment_of(second, 2, **ended)])
    newest, oldest = text.index("## v1.1.0"), text.index("## v1.0.0")
    assert newest < oldest
    assert "configuration: algorithm lgbm -> xgboost" in text
    assert "hyperparameters none -> {'max_depth': 7}" in text
    assert "mae 36 (-10.0%)" in text
    assert (
        "deployed to production 2026-01-03 12:00 by bob, rolled back 2026-01-10 12:00: the gate passed"
        in text
    )
    assert "first version" in text[oldest:]


def test_what_somebody_has_written_is_no_entry_of_its_own() -> None:
    hostile = "fine\n## v9.9.9 - 2026-01-01\n<img src=x> [a](http://evil.example)"
    first = version_of(1)
    second = version_of(2, config={"algorithm": hostile})
    text = changelog("load", [first, second], [deployment_of(second, 2, actor=hostile, reason=hostile)])
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## v1.1.0 - 2026-01-03",
        "## v1.0.0 - 2026-01-02",
    ]
    assert not re.search(r"(?<!\\)[<\[]", text)


def test_a_rejected_version_is_named_and_compared_with_nothing_after_it() -> None:
    versions = [
        version_of(1),
        version_of(2, status=Status.REJECTED, config={"algorithm": "xgboost"}),
        version_of(3),
    ]
    text = changelog("load", versions, [])
    assert "v1.1.0 - 2026-01-03 (rejected by its gate)" in text
    assert "trained again: same configuration, same data" in text[: text.index("## v1.1.0")]


def test_the_bill_is_cyclonedx_and_the_same_every_time() -> None:
    bill = bill_of_materials(version_of(), artifact_of(), tenant="grid", hub_version="0.1.0")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    assert bill == bill_of_materials(version_of(), artifact_of(), tenant="grid", hub_version="0.1.0")
    model = bill["metadata"]["component"]
    assert model["hashes"][0]["content"] == artifact_of().digest
    assert {part["name"] for part in model["components"]} == {"model.json"}
    assert "pkg:pypi/lightgbm@4.6.0" in {part.get("purl") for part in bill["components"]}


def test_a_library_of_a_local_version_has_a_url_that_names_it() -> None:
    version = version_of()
    lineage = replace(version.lineage, packages={"torch": "2.1.0+cpu"})
    bill = bill_of_materials(
        replace(version, lineage=lineage), artifact_of(), tenant="grid", hub_version="0.1.0"
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    (library,) = [part for part in bill["components"] if part["type"] == "library"]
    assert (library["purl"], library["version"]) == ("pkg:pypi/torch@2.1.0%2Bcpu", "2.1.0+cpu")
