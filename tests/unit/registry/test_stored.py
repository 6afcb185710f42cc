from __future__ import annotations

import json

import numpy as np
import pytest

from aihub.errors import ArtifactError
from aihub.registry.stored import GATE_FILE, GateKnowledge, importance_of_columns
from aihub.validation.drift import fit_references
from aihub.validation.profile import Profile

HOURS = 24 * 7 * 30


def knowledge() -> GateKnowledge:
    rng = np.random.default_rng(4)
    stamps = np.datetime64("2024-01-01", "us") + np.arange(HOURS) * np.timedelta64(3_600_000_000, "us")
    temperature = 10 + 5 * np.sin(np.arange(HOURS) * 2 * np.pi / 24) + rng.normal(size=HOURS)
    return GateKnowledge(
        training_profile=Profile.of({"temperature": temperature}).to_bytes(),
        feature_importance={"temperature": 1.0},
        drift_references=fit_references(stamps, {"temperature": temperature}),
    )


def test_knowledge_survives_the_artefact() -> None:
    known = knowledge()
    again = GateKnowledge.from_files(known.to_files())
    assert again.to_files() == known.to_files()
    assert again.feature_importance == {"temperature": 1.0}
    assert set(again.drift_references) == {"temperature"}


def test_an_artefact_without_knowledge_knows_nothing() -> None:
    empty = GateKnowledge.from_files({"model.json": b"{}"})
    assert empty.training_profile is None
    assert not empty.drift_references


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"schema": 2}', b'{"schema": 1, "drift_references": 3}']
)
def test_damaged_knowledge_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"gate\.json"):
        GateKnowledge.from_files({GATE_FILE: content})


def test_a_reference_that_was_tampered_with_is_refused() -> None:
    files = knowledge().to_files()
    document = json.loads(files[GATE_FILE])
    document["drift_references"]["temperature"] = {"kind": "other"}
    with pytest.raises(ArtifactError):
        GateKnowledge.from_files({GATE_FILE: json.dumps(document).encode()})


def test_importance_goes_to_the_longest_name_that_fits() -> None:
    gains = {"temperature_2_mean": 3.0, "temperature_mean": 1.0, "last": 9.0}
    assert importance_of_columns(gains, ("temperature", "temperature_2")) == {
        "temperature": 0.25,
        "temperature_2": 0.75,
    }
    assert importance_of_columns({"last": 1.0}, ("temperature",)) == {}
