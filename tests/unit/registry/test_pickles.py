# ruff: noqa: PLC0415 - the model libraries take seconds to import, which tests left out should not cost
from __future__ import annotations

import os
import pickle
import struct
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest

from aihub.errors import ArtifactError, DataError
from aihub.registry.loading import load_predictor
from aihub.registry.pickles import SandboxedPredictor
from aihub.registry.sandbox import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(3).normal(size=(120, 3)), columns=NAMES)


def _lightgbm(kind: str, table: pd.DataFrame) -> Any:
    import lightgbm

    target = table["a"] * 2 + table["b"]
    if kind == "booster":
        return _lightgbm("regressor", table).booster_
    if kind == "classes":
        return lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(
            table, np.digitize(target, [-1, 1]) * 5
        )
    if kind == "classifier":
        return lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(
            table, (target > 0).astype(int)
        )
    return lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1).fit(table, target)


def _xgboost(kind: str, table: pd.DataFrame) -> Any:
    import xgboost

    target = table["a"] * 2 + table["b"]
    if kind == "early":
        model = xgboost.XGBRegressor(n_estimators=100, early_stopping_rounds=2, n_jobs=1)
        return model.fit(table[:60], target[:60], eval_set=[(table[60:], target[60:])], verbose=False)
    if kind == "classifier":
        return xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(table, (target > 0).astype(int))
    return xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(table, target)


KINDS = [
    (_lightgbm, "regressor"),
    (_lightgbm, "booster"),
    (_lightgbm, "classifier"),
    (_xgboost, "regressor"),
    (_xgboost, "early"),
    (_xgboost, "classifier"),
]
WAYS = ["pickle-0", "pickle-2", "pickle-5", "joblib-zlib", "joblib-xz"]


@pytest.mark.parametrize(
    ("make", "kind", "write"),
    # All models in the two usual ways, the plain ones in every way.
    [(make, kind, write) for make, kind in KINDS for write in ("pickle-4", "joblib")]
    + [(make, "regressor", write) for make in (_lightgbm, _xgboost) for write in WAYS],
)
def test_boosters_come_out_of_a_pickle_in_native_form(
    tmp_path: Path, table: pd.DataFrame, make: Callable[[str, pd.DataFrame], Any], kind: str, write: str
) -> None:
    estimator = make(kind, table)
    path = tmp_path / "model.pkl"
    if write.startswith("pickle"):
        path.write_bytes(pickle.dumps(estimator, protocol=int(write[-1])))
    else:
        joblib.dump(estimator, path, compress={"joblib": 0, "joblib-zlib": 3, "joblib-xz": ("xz", 3)}[write])
    predictor = load_predictor(path)
    assert not isinstance(predictor, SandboxedPredictor)
    assert predictor.feature_names == ("a", "b", "c")
    expected = np.asarray(estimator.predict(table), dtype=np.float64)
    assert np.allclose(predictor.predict(table), expected)
    mixed_up = pl.from_pandas(table[["c", "a", "b"]]).with_columns(load=pl.lit("x"))
    assert np.allclose(predictor.predict(mixed_up), expected), "columns are found by name"
    if kind == "classifier":
        assert np.allclose(predictor.score(table), estimator.predict_proba(table)[:, 1])
    with pytest.raises(DataError, match="lacks"):
        predictor.predict(table[["a", "b"]])


def test_a_scikit_learn_pipeline_predicts_in_the_child(tmp_path: Path, table: pd.DataFrame) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    data = table.assign(c=np.where(table["c"] > 0, "high", "low"))
    columns = ColumnTransformer([("one-hot", OneHotEncoder(), ["c"])], remainder=StandardScaler())
    model = make_pipeline(columns, RandomForestClassifier(5, n_jobs=2, random_state=0)).fit(
        data, data["a"] > 0
    )
    path = tmp_path / "model.pkl"
    joblib.dump(model, path)
    with load_predictor(path) as predictor:
        assert isinstance(predictor, SandboxedPredictor)
        assert not predictor.trusted
        expected = model.predict(data).astype(float)
        assert np.array_equal(predictor.predict(pl.from_pandas(data)), expected)
        assert np.allclose(predictor.score(data), model.predict_proba(data)[:, 1])
        predictor._child.close()
        assert np.array_equal(predictor.predict(data), expected), "a dead child is replaced"


class _Call:
    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.parts


def _opcodes(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def _text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _global(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


CANARY = "aihub-canary"
HOSTILE = {
    "os.system": pickle.dumps(_Call(os.system, f"touch {CANARY}")),
    "protocol 0": b"cos\nsystem\n(S'touch aihub-canary'\ntR.",
    "inst": b"(S'touch aihub-canary'\nios\nsystem\n.",
    "eval": pickle.dumps(_Call(eval, "1+1")),
    "getattr": pickle.dumps(_Call(getattr, OrderedDict, "pop")),
    "dotted": _opcodes(_global("xgboost.core", "os.system"), _text("true"), b"\x85R"),
    "re-export": _opcodes(_global("xgboost.core", "os"), b"0N"),
    "prefix": _opcodes(_global("sklearn.externals", "joblib"), b"0N"),
    "numpy gadget": _opcodes(_global("numpy.testing._private.utils", "runstring"), b"0N"),
    "build on class": _opcodes(
        _global("lightgbm.sklearn", "LGBMRegressor"), b"N}", _text("predict"), _text("x"), b"s\x86b"
    ),
    "dunder state": _opcodes(
        _global("lightgbm.sklearn", "LGBMRegressor"), b")\x81}", _text("__class__"), b"Nsb"
    ),
    "call what was not named": _opcodes(b")", b")R"),
    "persistent id": b"\x80\x04\x8c\x01xQ.",
    "extension": b"\x80\x04\x82\x01.",
    "deep": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "deep tuple": b"\x80\x04N" + b"\x85" * 300_000 + b".",
    "memo bomb": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "billion laughs": b"\x80\x04]\x94"
    + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(200))
    + b".",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
    "huge array": _opcodes(
        _global("builtins", "bytearray"), b"\x8a\x08", struct.pack("<q", 1 << 40), b"\x85R"
    ),
    "huge ndarray": _opcodes(
        _global("numpy", "ndarray"), b"\x8a\x08", struct.pack("<q", 1 << 40), b"\x85\x85R"
    ),
    "many numbers": b"\x80\x04" + b"I" + b"9" * 1_000_000 + b"\n.",
    "truncated": pickle.dumps(OrderedDict(a=1))[:-6] + b".",
    "wrong opcode": b"\x80\x04\xfe\xff.",
    "nothing on the stack": b"\x80\x04R.",
    "no model": pickle.dumps({"a": 1}),
    "not fitted": _opcodes(_global("lightgbm.sklearn", "LGBMRegressor"), b")\x81}b"),
    "false booster": _opcodes(
        _global("lightgbm.sklearn", "LGBMRegressor"), b")\x81}", _text("_Booster"), _text("tree"), b"sb"
    ),
    "tree that points nowhere": _opcodes(_global("sklearn.tree._tree", "Tree"), b")R"),
    "zlib bomb": __import__("zlib").compress(bytes(100_000_000)),
    "cut zlib": __import__("zlib").compress(pickle.dumps(OrderedDict(a=1)))[:-8],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_an_error_soon_and_does_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pkl"
    path.write_bytes(HOSTILE[name])
    started = time.monotonic()
    with pytest.raises(ArtifactError):
        load_predictor(path)
    assert time.monotonic() - started < 60
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.pkl"]


class Evil:
    """Stands for an estimator from somebody's own module."""

    def __init__(self, harm: str) -> None:
        self.harm = harm

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__ = state


HARM = {
    "write": "open('/tmp/aihub-canary', 'w')",
    "remove": "__import__('os').unlink('/tmp/aihub-keep')",
    "network": "__import__('socket').create_connection(('127.0.0.1', 9))",
    "raw socket": "__import__('ctypes').CDLL(None).socket(2, 1, 0) >= 0 or 1/0",
    "program": "__import__('os').execv('/bin/true', ['true'])",
    "fork": "__import__('os').fork()",
    "signal": "__import__('os').kill(__import__('os').getppid(), 0)",
    "exit": "__import__('os')._exit(0)",
    "abort": "__import__('os').abort()",
    "leave": "__import__('sys').exit()",
    "lie": "__import__('os').write(3, b'AIHB' + bytes(100)) or __import__('os').write(4, b'x' * 100) or 1/0",
}


@pytest.mark.parametrize("harm", HARM)
def test_even_a_trusted_pickle_stays_in_the_sandbox(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(_Call(eval, HARM[harm])))
    with pytest.raises(ArtifactError):
        load_predictor(path, trust=True)
    assert not Path("/tmp/aihub-canary").exists()  # noqa: S108 - what the payload would have made


def test_an_endless_loop_ends_at_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(_Call(eval, "[0 for _ in iter(int, 1)]")))
    started = time.monotonic()
    with pytest.raises(ArtifactError, match=r"within 1 s|memory"):
        load_predictor(path, trust=True, limits=Limits(timeout_s=1))
    assert time.monotonic() - started < 30


def test_trust_lets_more_names_through_and_says_so(tmp_path: Path, table: pd.DataFrame) -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import DotProduct

    model = GaussianProcessRegressor(DotProduct(), optimizer=None).fit(table, table["a"])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    with pytest.raises(ArtifactError, match=r"DotProduct.*not allowed.*trust=True"):
        load_predictor(path)
    with load_predictor(path, trust=True) as predictor:
        assert predictor.trusted
        assert np.allclose(predictor.predict(table), model.predict(table))


def test_the_hub_writes_no_pickle() -> None:
    import aihub

    offenders = [
        str(path)
        for path in Path(aihub.__file__).parent.rglob("*.py")
        for word in (
            "pickle.dump",
            "pickle.load",
            "joblib.dump",
            "joblib.load",
            "cloudpickle",
            "import dill",
            "import shelve",
        )
        if word in path.read_text()
    ]
    assert offenders == []


def test_a_tree_that_runs_in_a_circle_ends_at_the_deadline(
    tmp_path: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.tree import DecisionTreeRegressor

    model = DecisionTreeRegressor(max_depth=3).fit(table, table["a"])
    nodes = model.tree_.__getstate__()["nodes"]
    circle = nodes.copy()
    circle["left_child"][0] = circle["right_child"][0] = 0
    path = tmp_path / "circle.pkl"
    content = pickle.dumps(model)
    assert content.count(nodes.tobytes()) == 1
    path.write_bytes(content.replace(nodes.tobytes(), circle.tobytes()))
    monkeypatch.setattr("aihub.registry.pickles.PREDICT_TIMEOUT_S", 1.0)
    with load_predictor(path) as predictor:  # type: ignore[attr-defined]
        begun = time.monotonic()
        with pytest.raises(ArtifactError):
            predictor.predict(table)
        assert time.monotonic() - begun < 20
