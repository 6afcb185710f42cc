"""A LightGBM or XGBoost model that was trained elsewhere, as an artefact of the hub: kind ``booster/1``.

The artefact holds the native model in canonical form and what a scikit-learn wrapper adds to it; never a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aihub.errors import ArtifactError
from aihub.registry import boosters
from aihub.registry.boosters import BoosterPredictor, Wrapper
from aihub.training.model import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

KIND = "booster/1"
_FILES = {"lightgbm": "booster.txt", "xgboost": "booster.ubj"}


@dataclass(frozen=True)
class ExternalModel:
    """A booster of somebody else, as a model of the hub."""

    kind: ClassVar[str] = KIND
    predictor: BoosterPredictor

    @property
    def config(self) -> Any:
        """None: the hub did not train it."""
        return None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that a caller must send; empty where the model knows none."""
        return self.predictor.feature_names

    def predict(self, data: Any, *, history: Any | None = None) -> FloatArray:  # noqa: ARG002 - it has no past
        """One number per row of `data`, in row order."""
        return self.predictor.predict(data)

    def to_files(self) -> dict[str, bytes]:
        """Native file in canonical form, and ``model.json``."""
        booster, library = self.predictor.booster, self.predictor.library
        if library == "lightgbm":
            content = str(booster.model_to_string(num_iteration=-1)).encode()
        else:
            content = bytes(booster.save_raw("ubj"))
        wrapper = self.predictor.wrapper
        document = {
            "kind": KIND,
            "library": library,
            "classes": list(wrapper.classes),
            "rounds": wrapper.rounds,
            "missing": None if np.isnan(wrapper.missing) else wrapper.missing,
        }
        return {
            _FILES[library]: boosters.native_bytes(boosters.parse(content)),
            MODEL_FILE: json.dumps(document, sort_keys=True, allow_nan=False).encode(),
        }


def from_files(files: Mapping[str, bytes]) -> ExternalModel:
    """Read `ExternalModel.to_files` back; the native file was checked and tried out before.

    Raises
    ------
    ArtifactError
        A file is missing or does not fit.
    """
    try:
        document = json.loads(files[MODEL_FILE])
        if document["kind"] != KIND:
            raise ArtifactError(f"model kind {document['kind']!r} is not {KIND!r}; register the model again")
        missing = document["missing"]
        wrapper = Wrapper(
            classes=tuple(float(one) for one in document["classes"]),
            rounds=int(document["rounds"]),
            missing=np.nan if missing is None else float(missing),
        )
        content = files[_FILES[document["library"]]]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"the files do not hold a booster ({error!r}); register the model again"
        ) from error
    return ExternalModel(boosters.load(boosters.parse(content), wrapper))
