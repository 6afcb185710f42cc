"""A model file that was trained elsewhere, or on another hub, taken in: examined, brought into the hub's own form, kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.errors import ArtifactError
from aihub.registry import artifacts, claimed, external
from aihub.registry.boosters import BoosterPredictor
from aihub.registry.external import ExternalModel
from aihub.registry.files import read_regular
from aihub.registry.lineage import Lineage, packages
from aihub.registry.loading import load_predictor, load_stored
from aihub.registry.queries import Queries
from aihub.store.tables import versions
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from aihub.registry.artifacts import Artifact, ArtifactStore
    from aihub.registry.records import Version
    from aihub.registry.sandbox import Limits


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A model file that lies in the store, and where it comes from."""

    artifact: Artifact
    lineage: Lineage


def take_in(
    store: ArtifactStore,
    path: Path | str,
    *,
    model: str,
    requested_by: str,
    now: datetime,
    git_commit: str | None = None,
    config: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> Taken:
    """Examine a model file as `load_predictor` does, and put it into `store`; registering it is the caller's next step.

    An artefact of the hub stays what it is, to the byte; a LightGBM or XGBoost model, also out of a pickle, becomes one
    of kind ``booster/1``. Idempotent: the same file is the same artefact.

    Parameters
    ----------
    git_commit
        Commit that the model was made from, where the file does not say.
    config
        What else is known of an external model, such as ``model_type`` and ``target``.

    Raises
    ------
    ArtifactError
        The file is damaged, of an unknown kind, holds what is not allowed, or cannot be served.
    """
    path = Path(path)
    content = read_regular(path)
    if content.startswith(artifacts.MAGIC):
        load_stored(path, limits=limits)
        lineage = _lineage_of(artifacts.read_bytes(content, source=str(path)), requested_by, now)
        lineage = lineage or _lineage(config or {}, requested_by, now)
    else:
        found = _external(path, limits)
        known = {
            "algorithm": found.predictor.library,
            "features": list(found.feature_names),
            **(config or {}),
        }
        lineage = _lineage(known, requested_by, now)
        manifest = artifacts.Manifest(kind=external.KIND, name=model, environment=dict(lineage.packages))
        content = artifacts.pack(found.to_files(), manifest)
    if lineage.git_commit is None and git_commit is not None:
        lineage = dataclasses.replace(lineage, git_commit=git_commit)
    return Taken(artifact=store.get(store.put(content)), lineage=lineage)


def version_of(connection: Connection, tenant: str, model: str, digest: str) -> Version | None:
    """Return the newest version of `model` that is this artefact; None where there is none."""
    found = Queries(connection, tenant).versions(model, versions.c.digest == digest)
    return found[-1] if found else None


def _external(path: Path, limits: Limits | None) -> ExternalModel:
    predictor = load_predictor(path, limits=limits)
    if not isinstance(predictor, BoosterPredictor):
        close = getattr(predictor, "close", None)
        if callable(close):
            close()
        raise ArtifactError(
            f"{path}: an estimator of scikit-learn can be judged (aihub validate) but not served; "
            "register a LightGBM or XGBoost model, or train one with the hub"
        )
    return ExternalModel(predictor)


def _lineage_of(artifact: Artifact, requested_by: str, now: datetime) -> Lineage | None:
    """Lineage that an artefact says of itself; who asked, and when, are those who register it. Raises ArtifactError."""
    known = dict(artifact.manifest.lineage)
    if not known:
        return None
    claimed.check(known)
    return Lineage.from_dict({**known, "requested_by": requested_by, "created_at": iso(now)})


def _lineage(config: Mapping[str, Any], requested_by: str, now: datetime) -> Lineage:
    return Lineage(
        config=dict(config),
        data={},
        seed=None,
        requested_by=requested_by,
        created_at=now,
        packages=packages(),
    )
