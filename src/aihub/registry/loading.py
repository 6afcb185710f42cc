"""Any model file to a predictor, whatever the file calls itself; the only way in for files that we did not write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aihub.errors import ArtifactError
from aihub.registry import artifacts, boosters
from aihub.registry.files import read_regular
from aihub.registry.native import lightgbm_text, xgboost_ubj
from aihub.registry.sandbox import Child, Limits
from aihub.registry.stored import GateKnowledge, StoredModel
from aihub.settings import from_environment

if TYPE_CHECKING:
    from os import PathLike

    from aihub.registry.artifacts import Artifact
    from aihub.types import Predictor

COMPRESSED = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00")
"""How zlib, gzip, bzip2, xz and lzma begin: joblib writes all of them."""


def load_predictor(
    path: str | PathLike[str], *, trust: bool = False, limits: Limits | None = None
) -> Predictor:
    """Read a model file and return what predicts with it.

    The content decides, not the name: an artefact of the hub, a LightGBM text model, an XGBoost UBJSON or JSON model,
    or a pickle (also of joblib) of a LightGBM, XGBoost or scikit-learn estimator. Native models are checked, tried in a
    child process, and loaded here; pickles are only ever read in a confined child process.

    Parameters
    ----------
    trust
        Read a pickle that names things beyond the allow-list, still in the confined child. The predictor then says
        `trusted = True`, and a report must repeat it.
    limits
        What reading may cost; default what `AIHUB_LOAD_TIMEOUT_S` and `AIHUB_SANDBOX_MEMORY_MB` say, because the
        gate calls this as a plugin and has no settings to hand on.

    Raises
    ------
    ArtifactError
        The file is missing, damaged, of an unknown kind, or holds what is not allowed.
    ConfigError
        `limits` is not given and the environment holds a setting that cannot be used.
    """
    limits = limits or _limits_of_environment()
    path = Path(path)
    content = read_regular(path)
    try:
        return _load(content, str(path), trust=trust, limits=limits)
    except ArtifactError as error:
        text = str(error)
        raise ArtifactError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def load_stored(
    path: str | PathLike[str], *, limits: Limits | None = None, is_tried: bool = False
) -> StoredModel:
    """Read an artefact of the hub; nothing else is looked into.

    Parameters
    ----------
    is_tried
        The same bytes were tried out before with the same libraries: no child process does it again.

    Raises
    ------
    ArtifactError
        The file is missing or damaged, or is of another kind.
    """
    path = Path(path)
    content = read_regular(path)
    if not content.startswith(artifacts.MAGIC):
        raise ArtifactError(
            f"{path} was not trained by the hub; ask it through `aihub validate` or its own library"
        )
    return _load_artifact(
        artifacts.read_bytes(content, source=str(path)),
        limits=limits or _limits_of_environment(),
        is_tried=is_tried,
    )


def _limits_of_environment() -> Limits:
    settings = from_environment()
    return Limits(timeout_s=settings.load_timeout_s, memory_bytes=settings.sandbox_memory_mb << 20)


def _load(content: bytes, source: str, *, trust: bool, limits: Limits) -> Predictor:
    if content.startswith(artifacts.MAGIC):
        return _load_artifact(artifacts.read_bytes(content, source=source), limits=limits)
    if lightgbm_text.looks_like(content) or xgboost_ubj.looks_like(content):
        model = boosters.parse(content)
        with Child(memory_bytes=limits.memory_bytes) as child:
            boosters.try_out(child, [model], timeout_s=limits.timeout_s)
        return boosters.load(model)
    if content.startswith((b"\x80", *COMPRESSED)) or content.rstrip(b"\n").endswith(b"."):
        from aihub.registry.pickles import load_pickle  # noqa: PLC0415 - pickles are the rare case

        return load_pickle(content, trust=trust, limits=limits)
    kinds = "an artefact of the hub, a LightGBM text model, an XGBoost UBJSON or JSON model, or a pickle of an estimator"
    raise ArtifactError(f"the content is none of the known kinds; pass {kinds}")


def _load_artifact(artifact: Artifact, *, limits: Limits, is_tried: bool = False) -> StoredModel:
    """Check and try out the native files of an artefact, then read the model.

    Raises
    ------
    ArtifactError
        A file is damaged, or the kind is not known here.
    """
    from aihub.registry import external  # noqa: PLC0415 - loads what a model needs
    from aihub.training.model import load_model  # noqa: PLC0415 - loads the model's own libraries

    files, models = boosters.check_native(artifact.files)
    if models and not is_tried:
        with Child(memory_bytes=limits.memory_bytes) as child:
            boosters.try_out(child, models, timeout_s=limits.timeout_s)
    model = external.from_files(files) if artifact.manifest.kind == external.KIND else load_model(files)
    if model.kind != artifact.manifest.kind:
        message = (
            f"the manifest says kind {artifact.manifest.kind!r}, the model {model.kind!r}; train it again"
        )
        raise ArtifactError(message)
    return StoredModel(model, GateKnowledge.from_files(files))
