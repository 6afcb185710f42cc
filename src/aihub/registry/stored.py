"""A model as it lies in an artefact: with what the gate needs to know of its training, and none of the training rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.training.model import TrainedModel
    from aihub.types import FloatArray
    from aihub.validation.drift import SeriesReference

PROFILE_FILE = "training.profile"
"""Member of an artefact: profile of the training rows (`aihub.validation.profile`)."""
GATE_FILE = "gate.json"
"""Member of an artefact: importance of the columns, and the usual course of each over time."""
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class GateKnowledge:
    """What later data and models are compared with.

    Attributes
    ----------
    training_profile
        Bytes of the profile of the training rows.
    feature_importance
        Share of the gain per column that a caller sends; sums to 1, empty where it is not known.
    drift_references
        Course over the year, the week and the day of each numeric column, and how far it strays from it.
    """

    training_profile: bytes | None = None
    feature_importance: Mapping[str, float] = field(default_factory=dict)
    drift_references: Mapping[str, SeriesReference] = field(default_factory=dict)

    def to_files(self) -> dict[str, bytes]:
        """Members of the artefact."""
        document = {
            "schema": SCHEMA,
            "feature_importance": dict(self.feature_importance),
            "drift_references": {name: found.to_dict() for name, found in self.drift_references.items()},
        }
        files = {GATE_FILE: json.dumps(document, sort_keys=True, allow_nan=False).encode()}
        return files if self.training_profile is None else {**files, PROFILE_FILE: self.training_profile}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> GateKnowledge:
        """Read the members that `to_files` made; an artefact without them knows nothing.

        Raises
        ------
        ArtifactError
            A member is damaged or of another version.
        """
        profile = files.get(PROFILE_FILE)
        if GATE_FILE not in files:
            return cls(training_profile=profile)
        from aihub.validation.drift import SeriesReference  # noqa: PLC0415 - only artefacts that carry references

        try:
            document = json.loads(files[GATE_FILE])
            if document["schema"] != SCHEMA:
                raise ArtifactError(f"{GATE_FILE!r} is of version {document['schema']!r}; upgrade aihub")
            references = {
                name: SeriesReference.from_dict(form) for name, form in document["drift_references"].items()
            }
            importance = {str(name): float(value) for name, value in document["feature_importance"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{GATE_FILE!r} is damaged ({error!r}); train the model again") from error
        return cls(training_profile=profile, feature_importance=importance, drift_references=references)


@dataclass(frozen=True)
class StoredModel:
    """A trained model with its gate knowledge; whatever else is asked of it, the model answers."""

    model: TrainedModel
    knowledge: GateKnowledge

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that a caller must send."""
        return self.model.feature_names

    @property
    def training_profile(self) -> bytes | None:
        """Profile of the training rows."""
        return self.knowledge.training_profile

    @property
    def feature_importance(self) -> Mapping[str, float]:
        """Share of the gain per column."""
        return self.knowledge.feature_importance

    @cached_property
    def drift_references(self) -> Mapping[str, SeriesReference]:
        """Usual course of each numeric column."""
        return self.knowledge.drift_references

    def predict(self, data: Any, *, history: Any | None = None) -> FloatArray:
        """One number per row of `data`, in row order."""
        return self.model.predict(data, history=history)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.model, name)


def importance_of_columns(gains: Mapping[str, float], columns: tuple[str, ...]) -> dict[str, float]:
    """Fold the importance of derived features (``temperature_mean_day``) onto the columns they were made from.

    >>> importance_of_columns({"temperature": 2.0, "temperature_lag_1": 1.0, "week_lag_1": 5.0}, ("temperature",))
    {'temperature': 1.0}
    """
    folded = dict.fromkeys(columns, 0.0)
    for feature, gain in gains.items():
        owners = [name for name in columns if feature == name or feature.startswith(f"{name}_")]
        if owners:
            folded[max(owners, key=len)] += gain
    whole = sum(folded.values())
    return {name: gain / whole for name, gain in folded.items()} if whole > 0 else {}
