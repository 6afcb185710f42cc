"""What other drift detectors say about the series of `drift.py`; run by that file, in whatever Python has them.

Reads an npz of arrays and writes JSON: per peer the share of unchanged and of shifted windows flagged, and the rows at
which the sequential ones alarm, for a grid of their own sensitivity parameter. A peer that is not installed is left out.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

os.environ |= {
    "NML_DISABLE_USAGE_LOGGING": "1",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "USE_TF": "0",
    "USE_TORCH": "0",
}
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402 - the environment must be set before

if TYPE_CHECKING:
    from collections.abc import Callable

    Flag = Callable[[np.ndarray, np.ndarray], list[bool]]


def evidently(reference: np.ndarray, current: np.ndarray) -> list[bool]:
    """Preset's own choice of method and threshold per column."""
    import pandas as pd  # noqa: PLC0415
    from evidently import Report  # noqa: PLC0415
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    tables = [
        pd.DataFrame(side, columns=[f"c{i}" for i in range(side.shape[1])]) for side in (current, reference)
    ]
    found = Report([DataDriftPreset()]).run(*tables).dict()["metrics"][1:]
    # Distances are drift above their threshold, p-values below.
    return [
        m["value"] < m["config"]["threshold"]
        if "p_value" in m["metric_name"]
        else m["value"] >= m["config"]["threshold"]
        for m in ({**m, "config": {"threshold": _threshold(m["metric_name"])}} for m in found)
    ]


def _threshold(name: str) -> float:
    return float(name.split("threshold=")[1].split(")", maxsplit=1)[0].split(",", maxsplit=1)[0])


def nannyml(reference: np.ndarray, current: np.ndarray) -> list[bool]:
    """Jensen-Shannon distance against three standard deviations of reference chunks of the same size."""
    import nannyml as nml  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    names = [f"c{i}" for i in range(reference.shape[1])]
    calculator = nml.UnivariateDriftCalculator(column_names=names, chunk_size=len(current))
    calculator.fit(pd.DataFrame(reference, columns=names))
    table = calculator.calculate(pd.DataFrame(current, columns=names)).filter(period="analysis").to_df()
    return [bool(table[(name, "jensen_shannon", "alert")].any()) for name in names]


def alibi_detect(reference: np.ndarray, current: np.ndarray) -> list[bool]:
    """Kolmogorov-Smirnov test at 0.05 with Bonferroni over the columns."""
    from alibi_detect.cd import KSDrift  # noqa: PLC0415

    found = KSDrift(reference, p_val=0.05).predict(current)["data"]
    return [bool(p < found["threshold"]) for p in np.atleast_1d(found["p_val"])]


def frouros(reference: np.ndarray, current: np.ndarray) -> list[bool]:
    """Kolmogorov-Smirnov test at 0.05, column by column."""
    from frouros.detectors.data_drift import KSTest  # noqa: PLC0415

    flags = []
    for before, after in zip(reference.T, current.T, strict=True):
        detector = KSTest()
        detector.fit(X=before)
        flags.append(bool(detector.compare(X=after)[0].p_value < 0.05))
    return flags


_SLOW_ROWS = 10_000
"""Longer streams are left out for the detector that runs a test per row."""

WINDOWED: dict[str, Flag] = {
    "evidently": evidently,
    "nannyml": nannyml,
    "alibi-detect KS": alibi_detect,
    "frouros KS": frouros,
}


def sequential(*, quick: bool) -> dict[str, list[tuple[float, Callable[[], Any]]]]:
    """Detectors of river and frouros by name, each with a grid from sensitive to dull."""
    found: dict[str, list[tuple[float, Callable[[], Any]]]] = {}
    try:
        from river import drift  # noqa: PLC0415
    except ImportError:
        pass
    else:
        found["river ADWIN"] = [
            (d, lambda d=d: drift.ADWIN(delta=d)) for d in (0.05, 0.002, 1e-4, 1e-6, 1e-10, 1e-20, 1e-50)
        ]
        found["river PageHinkley"] = [
            (h, lambda h=h: drift.PageHinkley(threshold=h)) for h in (5, 10, 20, 50, 100, 200, 500, 1000)
        ]
        found["river KSWIN"] = [
            # A Kolmogorov-Smirnov test per row takes minutes: the quick run leaves it out.
            (a, lambda a=a: drift.KSWIN(alpha=a, seed=0))
            for a in (() if quick else (1e-4, 1e-9))
        ]
    try:
        from frouros.detectors.concept_drift import CUSUM, CUSUMConfig  # noqa: PLC0415
    except ImportError:
        pass
    else:
        found["frouros CUSUM"] = [
            (h, lambda h=h: _Frouros(CUSUM(config=CUSUMConfig(lambda_=h))))
            for h in (5, 10, 20, 50, 100, 200, 500, 1000)
        ]
    return found


class _Frouros:
    """Gives a frouros detector the interface of river's."""

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    @property
    def drift_detected(self) -> bool:
        return bool(self.detector.drift)

    def update(self, value: float) -> None:
        self.detector.update(value=float(value))


def alarms(make: Callable[[], Any], reference: np.ndarray, live: np.ndarray, change: int) -> list[int]:
    """Rows with an alarm, counted from the start of `live` (negative: in the reference); afresh after each alarm.

    What comes after the first alarm at or after row `change` is not asked for.
    """
    detector, found = make(), []
    for row, value in enumerate(np.concatenate((reference, live)), start=-len(reference)):
        detector.update(value)
        if detector.drift_detected:
            found.append(row)
            if row >= change:
                break
            detector = make()
    return found


def main() -> None:
    data = np.load(sys.argv[1])
    quick = "--quick" in sys.argv
    answer: dict[str, Any] = {"windows": {}, "alarms": {}, "errors": {}}
    has_windows = any(key.endswith("/current") for key in data)
    for name, flag in WINDOWED.items() if has_windows else ():
        print(f"{time.strftime('%X')} {name}", file=sys.stderr, flush=True)
        try:
            answer["windows"][name] = {
                task: [flag(data[f"{task}/reference"], window) for window in data[f"{task}/current"]]
                for task in sorted({key.split("/")[0] for key in data if key.endswith("/current")})
                if not (quick and name == "evidently" and "raw" in task)
            }
        except Exception as error:  # noqa: BLE001 - a peer that breaks is reported, not fatal
            answer["errors"][name] = f"{type(error).__name__}: {error}"[:200]
    streams = sorted({key.split("/")[0] for key in data if key.endswith("/live")})
    for name, grid in sequential(quick=quick).items() if streams else ():
        print(f"{time.strftime('%X')} {name}", file=sys.stderr, flush=True)
        answer["alarms"][name] = {
            s: {
                str(p): alarms(make, data[f"{s}/before"], data[f"{s}/live"], int(data[f"{s}/change"]))
                for p, make in grid
            }
            for s in streams
            if name != "river KSWIN" or len(data[f"{s}/live"]) < _SLOW_ROWS
        }
    print("\n" + json.dumps(answer, default=bool))


if __name__ == "__main__":
    main()
