from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from aihub.cli.following import request_of
from aihub.delivery.requests import JobRequest
from aihub.delivery.specification import check, json_schema, schema_text
from aihub.errors import ConfigError
from aihub.training.spec import SCHEMA_NAME, load_spec, parse_spec

ROOT = Path(__file__).parents[3]
SPECS = sorted((ROOT / "models").glob("*.yaml"))
POLICY = """
name: load
training: {target: load}
policy:
  environments:
    staging: {}
    production:
      approval: {role: approver, approvers: 2, expires_h: 48}
      freeze:
        - {weekdays: [fri], from: 16:00, time_zone: Europe/Berlin, reason: weekend}
  strategy:
    kind: canary
    steps: [{share: 0.1, minutes: 30}, {share: 0.5}]
    limits: {step_up: 1.02, rollback: 1.1, observations: 100}
  freeze:
    - {start: 2026-12-20, end: 2027-01-02}
    - {cron: 0 16 * * fri, hours: 62}
"""


def test_the_published_schema_is_fresh() -> None:
    published = (ROOT / "schemas" / SCHEMA_NAME).read_text()
    assert published == schema_text(), (
        "run: python -c \"from aihub.delivery.specification import schema_text; print(schema_text(), end='')\" "
        f"> schemas/{SCHEMA_NAME}"
    )


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_committed_specification_is_whole(path: Path) -> None:
    check(load_spec(path))
    jsonschema.validate(json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str)), json_schema())


def test_a_policy_as_a_person_writes_it_is_read_and_fits_the_schema() -> None:
    policy = check(parse_spec(POLICY))
    assert policy.strategy.plan[1].share == 0.5
    production = policy.rule("production")
    assert production is not None
    assert str(production.freeze[0].from_) == "16:00:00"
    document = yaml.safe_load(POLICY)
    document["policy"]["environments"]["production"]["freeze"][0]["from"] = "16:00"
    jsonschema.validate(json.loads(json.dumps(document, default=str)), json_schema())


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"enviroments": {}}, "policy.enviroments"),
        ({"environments": {"production": {"approval": {"approver": 1}}}}, "policy"),
        ({"strategy": {"kind": "blue"}}, "policy"),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(policy: dict[str, Any], field: str) -> None:
    document = {"name": "load", "training": {"target": "load"}, "policy": policy}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())
    with pytest.raises(ConfigError) as raised:
        check(parse_spec(json.dumps(document)))
    assert str(raised.value.field).startswith(field)


def test_what_is_said_about_serving_is_checked_and_goes_with_a_job() -> None:
    document: dict[str, Any] = {"name": "load", "training": {"target": "load"}}
    document["serving"] = {"log": {"sample": 0.5, "hash_columns": ["meter"]}}
    spec = parse_spec(yaml.safe_dump(document))
    check(spec)
    jsonschema.validate(json.loads(json.dumps(spec.to_dict(), default=str)), json_schema())
    request = JobRequest.model_validate(request_of(spec))
    assert JobRequest.model_validate(request.to_dict()).spec.serving == spec.serving
    document["serving"]["log"] = {"samples": 0.5}
    with pytest.raises(ConfigError, match=r"serving: .*samples"):
        check(parse_spec(yaml.safe_dump(document)))
