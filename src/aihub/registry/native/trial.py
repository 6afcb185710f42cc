"""Load a model and predict a golden batch through the library's C interface. Runs in the confined child.

The Python packages of the libraries take a second to import; their shared objects take some milliseconds.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.errors import ArtifactError

if TYPE_CHECKING:
    from aihub.types import FloatArray

GOLDEN_ROWS = 64
_SUFFIX = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
_NAMES = {"lightgbm": "lib_lightgbm", "xgboost": "libxgboost"}


def golden_batch(features: int, rows: int = GOLDEN_ROWS) -> FloatArray:
    """Return rows that visit as much of a model as possible: random of all sizes, zeros, missing, extremes.

    Returns
    -------
    ndarray
        Shape (rows, features), float64; NaN stands for missing.
    """
    rng = np.random.default_rng(20240101)
    batch = rng.normal(size=(rows, features)) * 10.0 ** rng.integers(-3, 6, size=(rows, 1))
    batch[0], batch[1], batch[2], batch[3] = 0.0, np.nan, 1e30, -1e30
    batch[4 : rows // 2] = np.floor(np.abs(batch[4 : rows // 2]) % 64)
    batch[rng.random(batch.shape) < 0.1] = np.nan  # noqa: PLR2004 - a tenth is missing
    return np.ascontiguousarray(batch)


def run_trial(_state: dict[str, Any], request: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
    """Answer the predictions of the golden batch as float64 bytes."""
    batch = golden_batch(int(request["features"]))
    run = {"lightgbm": _lightgbm, "xgboost": _xgboost}[request["library"]]
    outputs = run(blob, batch, int(request["outputs"]))
    return {"rows": len(outputs)}, np.ascontiguousarray(outputs, dtype=np.float64).tobytes()


def _library(name: str) -> ctypes.CDLL:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ArtifactError(f"the package {name!r} is not installed; install it to use this model")
    for folder in spec.submodule_search_locations:
        for inner in ("lib", "bin", "."):
            path = Path(folder, inner, f"{_NAMES[name]}.{_SUFFIX}")
            if path.exists():
                return ctypes.CDLL(str(path))
    raise ArtifactError(f"the package {name!r} has no library {_NAMES[name]}; install it anew")


def _lightgbm(model: bytes, batch: FloatArray, outputs: int) -> FloatArray:
    library = _library("lightgbm")
    library.LGBM_GetLastError.restype = ctypes.c_char_p

    def call(code: int) -> None:
        if code:
            raise ArtifactError(f"LightGBM refuses the model: {_reason(library.LGBM_GetLastError())}")

    handle, rounds = ctypes.c_void_p(), ctypes.c_int()
    call(library.LGBM_BoosterLoadModelFromString(model, ctypes.byref(rounds), ctypes.byref(handle)))
    rows, features = batch.shape
    expected = ctypes.c_int64()
    call(library.LGBM_BoosterCalcNumPredict(handle, rows, 0, 0, -1, ctypes.byref(expected)))
    if expected.value != rows * outputs:
        raise ArtifactError("LightGBM wants to answer another number of columns than the file says")
    answers = np.empty(rows * outputs)
    written = ctypes.c_int64()
    call(
        library.LGBM_BoosterPredictForMat(
            handle,
            batch.ctypes.data_as(ctypes.c_void_p),
            1,
            ctypes.c_int32(rows),
            ctypes.c_int32(features),
            1,
            0,
            0,
            -1,
            b"num_threads=1",
            ctypes.byref(written),
            answers.ctypes.data_as(ctypes.c_void_p),
        )
    )
    return answers[: written.value]


def _xgboost(model: bytes, batch: FloatArray, _outputs: int) -> FloatArray:
    library = _library("xgboost")
    library.XGBGetLastError.restype = ctypes.c_char_p

    def call(code: int) -> None:
        if code:
            raise ArtifactError(f"XGBoost refuses the model: {_reason(library.XGBGetLastError())}")

    handle, matrix = ctypes.c_void_p(), ctypes.c_void_p()
    call(library.XGBoosterCreate(None, 0, ctypes.byref(handle)))
    call(library.XGBoosterSetParam(handle, b"nthread", b"1"))
    call(library.XGBoosterLoadModelFromBuffer(handle, model, ctypes.c_uint64(len(model))))
    rows, features = batch.shape
    # The library has its own names for types; plain floats stand for all of them.
    values = np.ascontiguousarray(batch, dtype=np.float32)
    pointer = values.ctypes.data_as(ctypes.c_void_p)
    call(
        library.XGDMatrixCreateFromMat(
            pointer,
            ctypes.c_uint64(rows),
            ctypes.c_uint64(features),
            ctypes.c_float(np.nan),
            ctypes.byref(matrix),
        )
    )
    length, answers = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
    call(
        library.XGBoosterPredict(
            handle, matrix, 0, ctypes.c_uint(0), 0, ctypes.byref(length), ctypes.byref(answers)
        )
    )
    return np.ctypeslib.as_array(answers, shape=(length.value,)).astype(np.float64)


def _reason(text: bytes) -> str:
    return text.decode(errors="replace").splitlines()[0][:300] if text else "no reason given"
