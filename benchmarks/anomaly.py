"""Anomaly detection on NAB and on Merlion's synthetic series, beside a plain z-score.

NAB is judged twice, because either figure alone can be gamed: the standard NAB score (rewards the first alarm in a window,
one threshold for all series, the best one in hindsight for every method) after one alarm hold-off for all methods, and
the area under precision-recall of the rows, averaged over series (where an alarm must last). Models see the past only: they
are fitted at the end of the probation period and again at later points, and score what follows until the next one.

Merlion's series are split in half: fitted without labels on the first half, judged by events on the second.

Run: ``python benchmarks/anomaly.py [--quick] [--seeds N] [--algorithm lgbm|xgboost]``. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from aihub.errors import DataError
from aihub.training.anomaly import fit_detector
from aihub.training.config import TrainingConfig
from aihub.training.data import DataFingerprint, PreparedTable
from aihub.training.progress import Watch
from aihub.validation.events import event_metrics

SHARED = Path(os.environ.get("AIHUB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
REFITS = (0.25, 0.4, 0.6, 0.8)
HOLD_OFFS = (0.02, 0.05, 0.1)
FALSE_POSITIVE_WEIGHT = 0.11


@dataclass(frozen=True)
class Labelled:
    """One series with the index ranges (both ends included) that are anomalous."""

    name: str
    frame: pl.DataFrame
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows that are not judged (NAB: 15 %, at most 750)."""
        return min(int(0.15 * self.frame.height), 750)

    @property
    def flags(self) -> np.ndarray:
        """1 inside a window, 0 outside, one per row."""
        on = np.zeros(self.frame.height)
        for start, end in self.windows:
            on[start : end + 1] = 1
        return on


def nab() -> list[Labelled]:
    found = []
    with zipfile.ZipFile(SHARED / "nab" / "nab_data_labels.zip") as archive:
        windows = json.loads(archive.read("labels/combined_windows.json"))
        for name, ranges in windows.items():
            raw = pl.read_csv(io.BytesIO(archive.read(f"data/{name}")))
            stamps = raw["timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC")
            frame = pl.DataFrame({"timestamp": stamps, "value": raw["value"].cast(pl.Float64)})
            times = stamps.dt.replace_time_zone(None).to_numpy()
            spans = []
            for start, end in ranges:
                low, high = (np.datetime64(text[:26].replace(" ", "T"), "us") for text in (start, end))
                spans.append(
                    (int(np.searchsorted(times, low)), int(np.searchsorted(times, high, "right")) - 1)
                )
            found.append(Labelled(name, frame, tuple(spans)))
    return found


def merlion() -> list[Labelled]:
    found = []
    with zipfile.ZipFile(SHARED / "merlion_synth" / "synthetic_anomaly.zip") as archive:
        for name in sorted(archive.namelist()):
            raw = pl.read_csv(io.BytesIO(archive.read(name)))
            if "anomaly" not in raw.columns:
                continue
            flags = raw["anomaly"].cast(pl.Int64).to_numpy()
            edges = np.flatnonzero(np.diff(np.concatenate(([0], flags, [0])))).reshape(-1, 2)
            seconds = raw[raw.columns[0]].cast(pl.Float64)
            stamps = (seconds * 1e6).cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
            frame = pl.DataFrame({"timestamp": stamps, "value": raw[raw.columns[1]].cast(pl.Float64)})
            found.append(
                Labelled(name.removesuffix(".csv"), frame, tuple((int(a), int(b) - 1) for a, b in edges))
            )
    return found


def table_of(frame: pl.DataFrame) -> PreparedTable:
    times = frame["timestamp"]
    step = timedelta(
        microseconds=max(float(np.median(times.diff().drop_nulls().dt.total_microseconds())), 1e6)
    )
    return PreparedTable(
        frame=frame,
        notes=(),
        fingerprint=DataFingerprint(sha256="", rows=frame.height, start=times[0], end=times[-1]),
        frequency=step,
        time_zone="UTC",
        path=Path("series.csv"),
        timestamp="timestamp",
        target="value",
    )


def config_of(algorithm: str, seed: int) -> TrainingConfig:
    return TrainingConfig(model_type="anomaly", algorithm=algorithm, target="value", labels=False, seed=seed)


def our_score(series: Labelled, algorithm: str, seed: int, refits: tuple[float, ...]) -> np.ndarray:
    """Score per row, every row scored by a model of its past."""
    n = series.frame.height
    table, config = table_of(series.frame), config_of(algorithm, seed)
    cuts = [series.probation, *(round(f * n) for f in refits if f * n > series.probation), n]
    out = np.zeros(n)
    for cut, end in pairwise(cuts):
        past, rest = series.frame[:cut], series.frame[cut:end]
        try:
            detector, _ = fit_detector(config, table, past, rest[:0], watch=Watch())
        except DataError as error:
            print(f"{series.name}: {error}", file=sys.stderr)
            continue
        out[cut:end] = detector.score(rest, history=past)
    return out


def z_score(series: Labelled) -> np.ndarray:
    """Distance from the mean of all earlier rows in their standard deviations."""
    y = series.frame["value"].to_numpy()
    count = np.maximum(np.arange(len(y)), 1)
    mean = np.concatenate(([0], np.cumsum(y)[:-1])) / count
    variance = np.maximum(np.concatenate(([0], np.cumsum(y**2)[:-1])) / count - mean**2, 0)
    z = np.abs(y - mean) / np.maximum(np.sqrt(variance), 1e-9 * np.maximum(np.abs(mean), 1))
    z[:2] = 0
    return np.minimum(z, 1e6)


def hold_off(score: np.ndarray, rows: int) -> np.ndarray:
    """Keep a score only where it exceeds those of the rows before: one alarm, not one per row. Looks back only."""
    padded = np.concatenate((np.full(rows, -np.inf), score[:-1]))
    before = np.lib.stride_tricks.sliding_window_view(padded, rows).max(axis=1)
    return np.where(score > before, score, 0.0)


def _sigmoid(x: Any) -> Any:
    return 2 / (1 + np.exp(5 * x)) - 1


def nab_score(series: list[Labelled], scores: list[np.ndarray]) -> float:
    """Score by the standard profile of the Numenta Anomaly Benchmark, at the best threshold for all series together."""
    values, credit, owner = [], [], []
    windows = 0
    for one, score in zip(series, scores, strict=True):
        n = one.frame.height
        gain, window = np.full(n, -FALSE_POSITIVE_WEIGHT), np.full(n, -1)
        for start, end in sorted(one.windows):
            after = (np.arange(end + 1, n) - end) / max(end - start, 1)
            gain[end + 1 :] = FALSE_POSITIVE_WEIGHT * np.where(
                after > 3, -1.0, _sigmoid(np.minimum(after, 3))
            )
        for start, end in one.windows:
            inside = np.arange(start, end + 1)
            gain[inside] = _sigmoid(-(end - inside + 1) / (end - start + 1)) / _sigmoid(-1.0)
            window[inside] = windows
            windows += 1
        values.append(score[one.probation :])
        credit.append(gain[one.probation :])
        owner.append(window[one.probation :])
    value, gain, window = (np.concatenate(part) for part in (values, credit, owner))
    order = np.argsort(-value, kind="stable")
    best_in = np.full(windows, -1.0)
    current = best = float(-windows)
    for position, row in enumerate(order):
        if window[row] < 0:
            current += gain[row]
        elif gain[row] > best_in[window[row]]:
            current += gain[row] - best_in[window[row]]
            best_in[window[row]] = gain[row]
        is_last = position + 1 == len(order) or value[order[position + 1]] != value[row]
        if is_last:
            best = max(best, current)
    return 100 * (best + windows) / (2 * windows)


def average_precision(label: np.ndarray, score: np.ndarray) -> float:
    order = np.argsort(-score, kind="stable")
    hits, ordered = np.cumsum(label[order]), score[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    hits, alarms = hits[last], np.arange(1, len(score) + 1)[last]
    return float(np.sum(np.diff(np.concatenate(([0], hits))) / label.sum() * hits / alarms))


def judge_nab(series: list[Labelled], scores: list[np.ndarray]) -> dict[str, float]:
    held = {
        share: nab_score(series, [hold_off(s, max(1, int(share * len(s)))) for s in scores])
        for share in HOLD_OFFS
    }
    rows = [
        average_precision(one.flags[one.probation :], score[one.probation :])
        for one, score in zip(series, scores, strict=True)
        if one.flags[one.probation :].any()
    ]
    return {f"score_{share:g}": value for share, value in held.items()} | {"auc_pr": float(np.mean(rows))}


def judge_merlion(series: list[Labelled], algorithm: str, seed: int) -> dict[str, dict[str, float]]:
    """Event figures of the second halves, per kind of anomaly: ours at its own threshold, the z-score at |z| > 3."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "z_score": []}
    for one in series:
        half = one.frame.height // 2
        past, rest = one.frame[:half], one.frame[half:]
        truth, times = one.flags[half:], rest["timestamp"].dt.replace_time_zone(None).to_numpy()
        detector, _ = fit_detector(config_of(algorithm, seed), table_of(one.frame), past, rest, watch=Watch())
        score = detector.score(rest, history=past)
        for name, alarm, graded in (
            ("ours", score >= detector.threshold, score),
            ("z_score", z_score(one)[half:] > 3, z_score(one)[half:]),
        ):
            figures = event_metrics(truth, alarm.astype(float), timestamps=times, hold_off=3).as_dict()
            found[name].append({**figures, "auc_pr": average_precision(truth, graded)})
        ours = found["ours"][-1]
        print(
            f"  {one.name:34s} detected {ours['detected_share']:.2f}  affiliation F1 {ours['affiliation_f1']:.2f}  "
            f"range F1 {ours['range_f1']:.2f}  false alarms/day {ours['false_alarms_per_day']:.2f}  "
            f"AUC-PR {ours['auc_pr']:.2f} (z {found['z_score'][-1]['auc_pr']:.2f})"
        )
    return {
        name: {key: float(np.nanmean([row[key] for row in rows])) for key in rows[0]}
        for name, rows in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="every fourth series, fewer refits; under a minute"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--algorithm", default="lgbm")
    given = parser.parse_args()
    started = time.perf_counter()
    series, synthetic = nab(), merlion()
    refits = REFITS
    if given.quick:
        series, synthetic, refits = series[::4], synthetic[::3], (0.5,)
    baseline = judge_nab(series, [z_score(one) for one in series])
    print("NAB, z-score of all earlier rows:", {key: round(value, 3) for key, value in baseline.items()})
    runs = []
    for seed in range(given.seeds):
        runs.append(judge_nab(series, [our_score(one, given.algorithm, seed, refits) for one in series]))
        print(
            f"NAB, ours, seed {seed}:", {key: round(value, 3) for key, value in runs[-1].items()}, flush=True
        )
    print("Merlion, second halves:")
    events = judge_merlion(synthetic, given.algorithm, 0)
    for name, figures in events.items():
        print(name, {key: round(value, 3) for key, value in figures.items()})
    summary = {
        "nab_series": len(series),
        "nab_score": float(np.mean([max(v for k, v in run.items() if k != "auc_pr") for run in runs])),
        "nab_score_z": max(v for k, v in baseline.items() if k != "auc_pr"),
        "nab_auc_pr": float(np.mean([run["auc_pr"] for run in runs])),
        "nab_auc_pr_z": baseline["auc_pr"],
        "seeds": given.seeds,
        **{
            f"merlion_{key}{suffix}": events[name][key]
            for name, suffix in (("ours", ""), ("z_score", "_z"))
            for key in ("detected_share", "affiliation_f1", "range_f1", "false_alarms_per_day", "auc_pr")
        },
        "algorithm": given.algorithm,
        "is_quick": given.quick,
        "duration_s": round(time.perf_counter() - started, 1),
    }
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in summary.items()}))


if __name__ == "__main__":
    main()
