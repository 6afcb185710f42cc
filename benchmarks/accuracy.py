"""Accuracy of the default configuration on real sets, beside mlforecast and skforecast.

24 hours ahead, rolling daily origin over the last 84 days, refitted every 14 days, actual temperature known, 90 %
intervals. One default configuration for all sets: the configs only name columns, zones and calendars. The hourly series of
M4 are forecast once, 48 hours ahead, as in the competition.

Keys of the last line (JSON): ``vic_elec_mae`` (MW), ``vic_elec_coverage`` (0 to 1), ``pjm_vs_best_peer`` (our MAE over the
better peer's, each peer with the better of two losses, worst region; null without a peer), ``m4_hourly_owa``,
``dirty_vs_oracle`` (MAPE after training on the dirty file over MAPE after training on the clean source, both against the
clean source, on the rows that the dirty file lost too), ``train_overhead`` (our CPU time over that of the bare LightGBM
calls on the same matrices), and ``details``.

Run: ``python benchmarks/accuracy.py [--quick] [--only vic,pjm,m4,dirty,overhead]``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np
import polars as pl

from _accuracy_peers import peer_errors, versions
from _accuracy_sets import REGIONS, SHARED, Case, dirty, m4, pjm, vic_elec
from aihub.training.algorithms.lgbm import LGBM, OBJECTIVES
from aihub.training.backtest import BacktestResult, backtest
from aihub.training.forecast import recipe
from aihub.training.forecast.fitting import fit_forecaster, split_calibration
from aihub.training.progress import Watch

if TYPE_CHECKING:
    from aihub.types import FloatArray

REFIT_DAYS = 14
DAYS = 84
QUICK_DAYS = 14
PARTS = ("vic", "pjm", "m4", "dirty", "overhead")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer sets and days, without peers; under a minute"
    )
    parser.add_argument("--only", default="", help=f"comma-separated parts of {','.join(PARTS)}")
    given = parser.parse_args()
    if not SHARED.is_dir():
        print(f"the shared data sets are not at {SHARED}; set AIHUB_SHARED_DATA", file=sys.stderr)
        return 2
    parts = given.only.split(",") if given.only else PARTS
    if given.quick:
        print(
            f"quick: {QUICK_DAYS} days instead of {DAYS}, one region, every 20th series of M4, no dirty set, no peers"
        )
    answers: dict[str, Any] = dict.fromkeys(
        (
            "vic_elec_mae",
            "vic_elec_coverage",
            "pjm_vs_best_peer",
            "m4_hourly_owa",
            "dirty_vs_oracle",
            "train_overhead",
        )
    )
    details: dict[str, Any] = {"quick": given.quick, "peers": versions(), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "vic" in parts:
            result = _run(vic_elec(folder), given.quick)
            answers["vic_elec_mae"] = result.metrics["mae"]
            answers["vic_elec_coverage"] = result.metrics["coverage"]
            details["vic_elec"] = _detail(result)
        if "overhead" in parts:
            answers["train_overhead"] = _overhead(vic_elec(folder), given.quick)
        if "m4" in parts:
            details["m4_hourly"] = _m4(folder, given.quick)
            answers["m4_hourly_owa"] = details["m4_hourly"]["owa"]
        if "dirty" in parts and not given.quick:
            details["dirty_shared"] = _dirty(folder)
            answers["dirty_vs_oracle"] = details["dirty_shared"]["ratio"]
        if "pjm" in parts:
            details["pjm"] = {
                region: _pjm(pjm(folder, region), given.quick)
                for region in REGIONS[: 1 if given.quick else None]
            }
            ratios = [one["ratio"] for one in details["pjm"].values()]
            answers["pjm_vs_best_peer"] = None if None in ratios else max(ratios)
    print(json.dumps({**answers, "details": details}))
    return 0


def _run(case: Case, quick: bool) -> BacktestResult:  # noqa: FBT001 - one switch of one script
    days = QUICK_DAYS if quick else DAYS
    started = time.process_time()
    result = backtest(
        case.config, case.table, folds=days // REFIT_DAYS, fold_length=timedelta(days=REFIT_DAYS)
    )
    shown = {name: round(value, 4) for name, value in result.metrics.items()}
    print(f"{case.name}: {shown}, {time.process_time() - started:.0f} s of CPU", flush=True)
    return result


def _detail(result: BacktestResult) -> dict[str, Any]:
    return {**result.metrics, "fold_coverage": [round(fold.metrics["coverage"], 3) for fold in result.folds]}


def _pjm(case: Case, quick: bool) -> dict[str, Any]:  # noqa: FBT001 - as above
    ours = _run(case, quick)
    peers: dict[str, Any] = {} if quick else peer_errors(case, ours, refit=REFIT_DAYS)
    known = [error for errors in peers.values() if isinstance(errors, dict) for error in errors.values()]
    ratio = ours.metrics["mae"] / min(known) if known else None
    print(f"  peers {peers}, ours over the better one {ratio}", flush=True)
    return {**_detail(ours), "peers": peers, "ratio": ratio}


def _dirty(folder: Path) -> dict[str, Any]:
    faulty = dirty()
    clean = vic_elec(folder, like=faulty)
    truth = clean.table.frame.select("ts", truth="load")
    answers: dict[str, Any] = {}
    for name, case in (("dirty", faulty), ("oracle", clean)):
        rows = _run(case, quick=False).rows.join(truth, on="ts", how="inner")
        error, actual = (rows["prediction"] - rows["truth"]).abs().to_numpy(), rows["truth"].to_numpy()
        inside = ((rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"])).to_numpy()
        answers[name] = {
            "mape": float(100 * (error / actual).mean()),
            "coverage": float(inside.mean()),
            "rows": len(rows),
        }
    answers["ratio"] = answers["dirty"]["mape"] / answers["oracle"]["mape"]
    return answers


def _m4(folder: Path, quick: bool) -> dict[str, Any]:  # noqa: FBT001 - as above
    case, held_back = m4(folder, every=20 if quick else 1)
    started = time.process_time()
    model = fit_forecaster(case.config, case.table, case.table.frame, watch=Watch()).forecaster
    predicted, lower, upper = model.predict_with_interval(held_back)
    scored = held_back.with_columns(p=pl.Series(predicted))
    actual = held_back["value"].to_numpy()
    past = {key[0]: part["value"].to_numpy() for key, part in case.table.frame.group_by("series_id")}
    figures = [
        _m4_figures(past[key[0]], part["value"].to_numpy(), part["p"].to_numpy())
        for key, part in scored.group_by("series_id", maintain_order=True)
    ]
    smape, mase, smape_naive, mase_naive = np.mean(figures, axis=0)
    answer = {
        "owa": float((smape / smape_naive + mase / mase_naive) / 2),
        "smape": float(smape),
        "mase": float(mase),
        "coverage": float(((lower <= actual) & (actual <= upper)).mean()),
        "series": len(figures),
        "cpu_s": time.process_time() - started,
    }
    print(f"m4_hourly: {answer}", flush=True)
    return answer


def _m4_figures(
    past: FloatArray, actual: FloatArray, predicted: FloatArray
) -> tuple[float, float, float, float]:
    """SMAPE and MASE of a forecast and of naive 2 (Makridakis et al. 2020)."""
    scale = np.abs(past[24:] - past[:-24]).mean()
    naive = _naive2(past, len(actual))

    def smape(one: FloatArray) -> float:
        return float((200 * np.abs(actual - one) / (np.abs(actual) + np.abs(one))).mean())

    def mase(one: FloatArray) -> float:
        return float(np.abs(actual - one).mean() / scale)

    return smape(predicted), mase(predicted), smape(naive), mase(naive)


def _naive2(past: FloatArray, steps: int, season: int = 24) -> FloatArray:
    """Last value, after a multiplicative seasonal adjustment where the season is significant at 90 %."""
    n = len(past)
    centred = past - past.mean()
    acf = np.array([(centred[:-k] * centred[k:]).sum() for k in range(1, season + 1)]) / (centred**2).sum()
    if abs(acf[-1]) <= 1.645 * np.sqrt((1 + 2 * (acf[:-1] ** 2).sum()) / n):
        return np.full(steps, past[-1])
    trend = np.convolve(past, np.r_[0.5, np.ones(season - 1), 0.5] / season, "valid")
    ratio = past[season // 2 : season // 2 + len(trend)] / trend
    phase = (np.arange(len(trend)) + season // 2) % season
    index = np.array([ratio[phase == k].mean() for k in range(season)])
    index /= index.mean()
    return past[-1] / index[(n - 1) % season] * index[np.arange(n, n + steps) % season]


def _overhead(case: Case, quick: bool) -> float:  # noqa: FBT001 - as above
    """CPU time of fitting a forecaster over that of the bare LightGBM calls on the same matrices; best of two runs each."""
    ours, bare = [], []
    train = case.table.frame.tail(8_760) if quick else case.table.frame
    for _ in range(1 if quick else 2):
        started = time.process_time()
        fitted = fit_forecaster(case.config, case.table, train, watch=Watch())
        ours.append(time.process_time() - started)
        rows = fitted.training
        early, _ = split_calibration(rows, fitted.forecaster.layout)
        point = recipe.point_settings(LGBM, {}, len(rows.target))
        quantile = recipe.quantile_settings(LGBM, {}, len(rows.target))
        calls = [("l2", part, 0, point) for part in (early, rows)] + [
            ("l1", part, 1, point) for part in (early, rows)
        ]
        calls += [("quantile", early, 1, {**quantile, "alpha": alpha}) for alpha in (0.05, 0.95)]
        started = time.process_time()
        for loss, part, is_change, settings in calls:
            given = {
                **settings,
                "objective": OBJECTIVES[loss],
                "num_threads": 1,
                "verbosity": -1,
                "force_row_wise": True,
            }
            rounds = given.pop("n_estimators")
            target = part.target - part.design.base if is_change else part.target
            lgb.train(given, lgb.Dataset(part.design.x, target, params=given), num_boost_round=rounds)
        bare.append(time.process_time() - started)
    ratio = min(ours) / min(bare)
    print(f"training: {min(ours):.1f} s of CPU, bare calls {min(bare):.1f} s, ratio {ratio:.3f}", flush=True)
    return ratio


if __name__ == "__main__":
    sys.exit(main())
