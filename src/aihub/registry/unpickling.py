"""Pickles in the confined child: examine, take the native model out where there is one, else keep the estimator."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import warnings
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from aihub.errors import ArtifactError
from aihub.registry import boosters, restricted
from aihub.registry.native import lightgbm_text, ubjson, xgboost_ubj

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aihub.registry.restricted import Capture
    from aihub.types import FloatArray

Answer = tuple[dict[str, Any], bytes]

MAX_UNPACKED_BYTES = 1 << 30
MAX_CLASSES = 10_000
MAX_NOTES = 5
_CHUNK = 1 << 20


def examine(state: dict[str, Any], request: dict[str, Any], blob: bytes) -> Answer:
    """Look at a pickle without making anything of a model library; answer the native model in it, if there is one."""
    content = unpacked(blob)
    state["content"], state["trusted"] = content, False
    try:
        root, captures = restricted.load(content, examine=True)
        for capture in captures:
            if capture.origin in (("lightgbm.basic", "Booster"), ("xgboost.core", "Booster")):
                boosters.parse(_native(capture))
        native = _as_native(root)
    except ArtifactError:
        if request.get("trust") is not True:
            raise
        state["trusted"], state["modules"] = True, set()
        return {"kind": "estimator"}, b""
    if native is not None:
        header, model = native
        return {"kind": "native", **header}, model
    state["modules"] = {capture.origin[0] for capture in captures}
    return {"kind": "estimator"}, b""


def prepare(state: dict[str, Any], _request: dict[str, Any], _blob: bytes) -> Answer:
    """Import the allowed modules that the pickle needs: slow on a busy machine, and no fault of the file."""
    for module in sorted(state["modules"]):
        import_module(module)
    return {}, b""


def load(state: dict[str, Any], _request: dict[str, Any], _blob: bytes) -> Answer:
    """Make the estimator for real, after it was examined, and keep it for `predict`."""
    trusted = state["trusted"] is True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator, _ = restricted.load(state["content"], examine=False, trust=trusted)
    if not callable(getattr(estimator, "predict", None)):
        name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        raise ArtifactError(
            f"the pickle holds a {name[:120]}, which cannot predict; save the estimator itself"
        )
    _one_thread(estimator)
    state["estimator"] = estimator
    # A warning here is a note for the report: mostly that another version of the library wrote the file.
    notes = [str(warning.message).strip()[:500] for warning in caught][:MAX_NOTES]
    return {"trusted": trusted, "feature_names": _names(estimator), "notes": notes, **_shape(estimator)}, b""


def unpacked(blob: bytes) -> bytes:
    """Return `blob` without the compression of joblib; never more than `MAX_UNPACKED_BYTES`."""
    if blob.startswith(b"\x1f\x8b"):
        return _inflate(zlib.decompressobj(31), blob)
    if blob.startswith(b"BZh"):
        return _inflate(bz2.BZ2Decompressor(), blob)
    if blob.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        return _inflate(lzma.LZMADecompressor(), blob)
    if blob[:1] == b"x" and blob[:2] in (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"):
        return _inflate(zlib.decompressobj(), blob)
    return blob


def _inflate(machine: Any, blob: bytes) -> bytes:
    parts, total, rest = [], 0, blob
    try:
        while not machine.eof:
            part = machine.decompress(rest, _CHUNK)
            rest = getattr(machine, "unconsumed_tail", b"")
            if not part and not rest:
                raise ArtifactError("the compressed file is cut off; save the model again")
            total += len(part)
            if total > MAX_UNPACKED_BYTES:
                raise ArtifactError(f"the file unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
            parts.append(part)
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise ArtifactError(f"the compressed file is damaged: {error}; save the model again") from error
    return b"".join(parts)


def _native(booster: Capture) -> bytes:
    """Return the native model that a pickled Booster carries."""
    if booster.origin[0].startswith("lightgbm"):
        text = booster.state.get("_handle", booster.state.get("handle"))
        if not isinstance(text, str):
            raise ArtifactError("the pickled LightGBM Booster holds no model; fit it before saving")
        return text.encode(errors="replace")
    raw = booster.state.get("handle")
    if not isinstance(raw, bytes | bytearray):
        raise ArtifactError("the pickled XGBoost Booster holds no model; fit it before saving")
    document = ubjson.decode(bytes(raw))
    inner = document.get("Model")
    return ubjson.encode(inner) if isinstance(inner, dict) else bytes(raw)


def _as_native(root: Any) -> tuple[dict[str, Any], bytes] | None:
    """Return wrapper and canonical model where the pickle is a Booster or a wrapper of one, else None."""
    if not isinstance(root, restricted.Capture):
        return None
    package, name = root.origin[0].partition(".")[0], root.origin[1]
    if package not in ("lightgbm", "xgboost"):
        return None
    booster = root if name == "Booster" else root.state.get("_Booster")
    if not isinstance(booster, restricted.Capture) or booster.origin[1] != "Booster":
        raise ArtifactError(f"the pickled {name} is not fitted; fit it before saving")
    content = _native(booster)
    if package == "lightgbm":
        model = lightgbm_text.parse(content)
        best = booster.state.get("best_iteration", 0)
        classes = root.state.get("_classes") if name == "LGBMClassifier" else None
        header = {"rounds": best if isinstance(best, int) and best > 0 else 0, "classes": _classes(classes)}
        return {"library": package, "missing": None, **header}, model.text.encode()
    forest = xgboost_ubj.parse(content)
    count = root.state.get("n_classes_") if name.endswith("Classifier") else None
    best_round = forest.best_iteration if name != "Booster" else None
    header = {
        "rounds": 0 if best_round is None else best_round + 1,
        "classes": _classes(
            np.arange(count) if isinstance(count, int) and 0 <= count < MAX_CLASSES else None
        ),
    }
    missing = root.state.get("missing")
    return {
        "library": package,
        "missing": float(missing) if _is_number(missing) else None,
        **header,
    }, forest.data


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _classes(values: Any) -> list[float]:
    if values is None:
        return []
    labels = np.asarray(values)
    if labels.dtype.kind not in "biuf" or labels.ndim != 1 or len(labels) > MAX_CLASSES:
        raise ArtifactError("the classifier's labels are not numbers; train it on 0 and 1")
    if not np.all(np.isfinite(labels.astype(np.float64))):
        raise ArtifactError("the classifier has a label that is not finite; train it on 0 and 1")
    return [float(label) for label in labels]


def _names(estimator: Any) -> list[str]:
    with contextlib.suppress(AttributeError):
        names = np.asarray(estimator.feature_names_in_)
        if names.ndim == 1 and len(names) <= boosters.MAX_FEATURE_NAMES:
            return [str(name)[:256] for name in names]
    return []


def _shape(estimator: Any) -> dict[str, Any]:
    features = getattr(estimator, "n_features_in_", None)
    classes = getattr(estimator, "classes_", None)
    return {
        "features": int(features) if isinstance(features, int | np.integer) and features >= 0 else None,
        "has_score": callable(getattr(estimator, "predict_proba", None))
        and classes is not None
        and np.size(classes) == 2,  # noqa: PLR2004
    }


def _one_thread(estimator: Any) -> None:
    # The child may start no processes, and threads of a pool would count against its limits.
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        pools = {name: 1 for name in estimator.get_params(deep=True) if name.rpartition("__")[2] == "n_jobs"}
        if pools:
            estimator.set_params(**pools)


def predict(state: dict[str, Any], request: dict[str, Any], blob: bytes) -> Answer:
    """Predict a batch with the estimator that `load` kept."""
    estimator = state.get("estimator")
    if estimator is None:
        raise ArtifactError("no estimator was loaded")
    table = _table(estimator, request, blob)
    with warnings.catch_warnings(), _sequential():
        warnings.simplefilter("ignore")
        if request.get("score") is True:
            answer = np.asarray(estimator.predict_proba(table))[:, 1]
        else:
            answer = np.asarray(estimator.predict(table))
    rows = int(request["rows"])
    if answer.ndim == 2 and answer.shape[1] == 1:  # noqa: PLR2004 - one column is one number a row
        answer = answer[:, 0]
    if answer.shape != (rows,) or answer.dtype.kind not in "biuf":
        raise ArtifactError(
            f"the estimator answers {answer.dtype} of shape {answer.shape}, not one number a row"
        )
    return {"rows": rows}, np.ascontiguousarray(answer, dtype=np.float64).tobytes()


@contextlib.contextmanager
def _sequential() -> Iterator[None]:
    try:
        from joblib import parallel_config  # type: ignore[import-untyped] # noqa: PLC0415 - comes with scikit-learn
    except ImportError:
        yield
        return
    with parallel_config(backend="sequential"):
        yield


def _table(estimator: Any, request: dict[str, Any], blob: bytes) -> Any:
    """Rebuild the table: numbers lie column by column in `blob`, text in the request."""
    rows, names = int(request["rows"]), request["columns"]
    texts: dict[str, Sequence[str | None]] = request["texts"]
    numbers = np.frombuffer(blob, dtype=np.float64).reshape(-1, rows)
    columns: dict[str, Any] = {}
    position = 0
    for name in names:
        if name in texts:
            columns[name] = np.array(texts[name], dtype=object)
        else:
            columns[name] = numbers[position]
            position += 1
    if getattr(estimator, "feature_names_in_", None) is None and not texts:
        return _as_matrix(numbers)
    import pandas as pd  # noqa: PLC0415 - only where the estimator knows names, or there is text

    return pd.DataFrame(columns)


def _as_matrix(numbers: FloatArray) -> FloatArray:
    return np.ascontiguousarray(numbers.T)
