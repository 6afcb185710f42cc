"""The whole of a specification: its training, and the sections that `aihub.training` only passes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aihub.delivery.policy import DeliveryPolicy, parse_policy
from aihub.serving.rules import ServingRules, rules_of
from aihub.training import spec as of_training

if TYPE_CHECKING:
    from aihub.training.spec import ModelSpec


def check(spec: ModelSpec) -> DeliveryPolicy:
    """Check the sections of a specification before minutes are spent on it, and return its policy.

    Raises
    ------
    ConfigError
        A hyperparameter, threshold, check or field of policy or serving is unknown or wrong.
    """
    from aihub.training.algorithms import ALGORITHMS
    from aihub.validation.settings import resolve

    ALGORITHMS.get(spec.training.algorithm).check(spec.training.hyperparameters)
    resolve(spec.training.model_type, spec=spec.validation)
    rules_of({"serving": spec.serving})
    return parse_policy(spec.policy)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a specification, for editors; published as ``schemas/model-spec.schema.json``."""
    schema = of_training.json_schema()
    for name, section in (("policy", DeliveryPolicy), ("serving", ServingRules)):
        described = section.model_json_schema(mode="validation")
        schema["$defs"].update(described.pop("$defs"))
        schema["$defs"][section.__name__] = described
        schema["properties"][name] = {
            "$ref": f"#/$defs/{section.__name__}",
            "description": schema["properties"][name]["description"],
        }
    return schema


def schema_text() -> str:
    """Return the schema as the text of the published file."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
