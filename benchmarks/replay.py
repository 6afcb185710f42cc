"""Monitoring on recorded series: real models serve day by day, actuals follow, the watch looks every six hours.

For each series a model of the hub's own algorithms learns from the first part of the record, is deployed, and is
followed by a second version of equal worth. Then the rest of the record is lived through several times:

- as it was, over its whole length: every action is a false one;
- with a bug in the second version (bias, scale, an hour late, a constant, swapped or missing features): the watch has to
  go back to the first, where the bug makes the error worse by a half or more - else it is too small to be counted;
- with a fault of the data (another unit, a stuck, dead or reversed meter, an hour off, half of the value): a person has
  to be told, and no version may be changed. What the models know of the past has the fault too.

Run: ``python benchmarks/replay.py [--quick] [--series NAME ...] [--held-back]``. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from _replay_sets import DATA_FAULTS, MODEL_FAULTS, SERIES, SILENT, Series, Stream, data_fault
from aihub.delivery.replay import Record, Replayed, replay
from aihub.delivery.run import Delivery, Order, deliver
from aihub.hub import opened
from aihub.monitoring.watch_policy import Action
from aihub.registry.loading import load_stored
from aihub.settings import DEFAULT_TENANT, Settings
from aihub.training.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aihub.hub import Hub
    from aihub.types import FloatArray

MODEL = "load"
SECOND_AFTER = timedelta(days=14)
PLANT_AFTER = timedelta(days=28)
FAULTY_AFTER = timedelta(days=28)
MATERIAL = 1.5
QUICK_SERIES = ("gefcom_01",)
QUICK_FAULTS = ("constant", "kw", "half")
QUICK_DAYS = 150
GATED = (
    "data_drift",
    "prediction_range",
    "prediction_stability",
    "champion_comparison",
    "skill",
    "seasonal_skill",
)
TOLD = (Action.ALERT, Action.PAGE)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A hub's folder with two good versions, of which nothing is deployed yet, and the record to live through."""

    series: Series
    home: Path
    table: pl.DataFrame
    begin: datetime
    versions: tuple[Delivery, Delivery]

    @property
    def live(self) -> pl.DataFrame:
        """Hours to live through."""
        return self.table.filter(pl.col("timestamp") >= self.begin.replace(tzinfo=None))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one replay came to.

    Attributes
    ----------
    verdict
        ``right``, ``missed``, ``late`` (told, though a version was changed), ``false`` or ``too small``.
    delay_days
        From the plant to the first right action.
    actions
        How many actions there were before the plant (or at all where there was none), all of them false.
    """

    series: str
    fault: str
    verdict: str
    delay_days: float | None
    actions: int
    worse: float
    first: str

    def line(self) -> str:
        """One line for a person."""
        delay = "-" if self.delay_days is None else f"{self.delay_days:.1f} d"
        return (
            f"{self.series:12} {self.fault:9} {self.verdict:9} {delay:>7}  false {self.actions}"
            f"  error x{self.worse:.3g}  {self.first}"
        )


def prepared(series: Series, home: Path) -> Prepared:
    """Train two versions on what lies before the live part, each as `aihub run` does."""
    table = series.read().drop_nulls("load")
    begin = table["timestamp"].max()
    begin = datetime(begin.year, begin.month, begin.day, tzinfo=UTC) - timedelta(days=series.live_days)
    data = home / "history.csv"
    home.mkdir(parents=True, exist_ok=True)
    table.filter(pl.col("timestamp") < begin.replace(tzinfo=None)).write_csv(data)
    training = {
        "model_type": "forecast",
        "algorithm": "lgbm",
        "features": list(series.features),
        "target": "load",
        "timestamp": "timestamp",
        "timestamp_zone": "UTC",
        **series.training,
    }
    # Whether the gate lets a version of these series through is another benchmark's matter.
    open_gate = {
        "thresholds": dict.fromkeys(("mae", "rmse", "mape", "r2_score")),
        "checks": {name: {"severity": "warn"} for name in GATED},
    }
    made = []
    with opened(Settings(home=home / "hub", mlflow_tracking_uri="off")) as hub:
        for trees in (100, 110):
            spec = ModelSpec.model_validate(
                {
                    "name": MODEL,
                    "training": {
                        **training,
                        "hyperparameters": {"n_estimators": trees, "learning_rate": 0.1},
                    },
                    "validation": open_gate,
                }
            )
            order = Order(
                spec=spec, data=data, actor="ann", now=begin, reports=home / "reports", deploy=False
            )
            made.append(deliver(order, hub.registry))
    return Prepared(series=series, home=home, table=table, begin=begin, versions=(made[0], made[1]))


def answers(hub: Hub, delivery: Delivery, asked: pl.DataFrame, history: pl.DataFrame) -> Any:
    """Return prediction and interval for each hour, every day from what was known at its begin."""
    model: Any = load_stored(hub.registry.artifact_path(delivery.version)).model
    zoned = pl.col("timestamp").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    asked, history = asked.drop("load").with_columns(zoned), history.with_columns(zoned)
    lower, upper = model.predict_interval(asked, history=history)
    return np.stack([model.predict(asked, history=history), lower, upper])


def spoiled(fault: str, hub: Hub, made: Prepared, known: pl.DataFrame, good: FloatArray) -> FloatArray:
    """Return what the second version answers with a bug in it."""
    live, promised = made.live, made.versions[1].version.metrics["mae"]
    if fault == "bias":
        return good + 2 * promised
    if fault == "scale":
        return good * (1 + 2 * promised / np.abs(live["load"].to_numpy()).mean())
    if fault == "lag":
        return np.concatenate([good[:, :1], good[:, :-1]], axis=1)
    if fault == "constant":
        return np.repeat(good[:, :1], good.shape[1], axis=1)
    names = made.series.features
    wrong = {names[0]: pl.lit(None, pl.Float64)}
    if fault == "swapped":
        # A single feature is read backwards instead.
        wrong = dict(zip(names, [pl.col(name) for name in reversed(names)], strict=True))
        wrong = wrong if len(names) > 1 else {names[0]: pl.col(names[0]).reverse()}
    is_live = pl.col("timestamp") >= made.begin.replace(tzinfo=None)
    change = [pl.when(is_live).then(to).otherwise(pl.col(name)).alias(name) for name, to in wrong.items()]
    return answers(hub, made.versions[1], live.with_columns(change), known.with_columns(change))


def live_through(made: Prepared, fault: str, folder: Path) -> Outcome:
    """Live through the record in a copy of the hub, with `fault` planted ("" for none), and judge what was done."""
    shutil.copytree(made.home / "hub", folder)
    plant = made.begin + PLANT_AFTER
    if fault:
        until = (plant + FAULTY_AFTER).replace(tzinfo=None)
        made = replace(made, table=made.table.filter(pl.col("timestamp") < until))
    live = made.live
    stamp = live["timestamp"].to_numpy().astype("datetime64[us]")
    at = int(np.searchsorted(stamp, np.datetime64(plant.replace(tzinfo=None), "us")))
    stream = data_fault(fault, live["load"].to_numpy(), stamp, at)
    is_model_fault = fault in MODEL_FAULTS
    deploy_second = plant if is_model_fault else made.begin + SECOND_AFTER
    with opened(Settings(home=folder, mlflow_tracking_uri="off")) as hub:
        known = _known(made, stream)
        good = [answers(hub, one, live, known) for one in made.versions]
        if is_model_fault:
            good[1] = spoiled(fault, hub, made, known, good[1])
        done = _lived(hub, made, stream, good, deploy_second=deploy_second)
        serving = hub.registry.serving(MODEL)
    truth = live["load"].to_numpy()
    error = [float(np.abs(one[0][at:] - stream.value[at:]).mean()) for one in good]
    usual = float(np.abs(good[0][0][:at] - truth[:at]).mean())
    worse = error[1] / (error[0] if is_model_fault else usual)
    assert serving is not None
    return judged(made.series.name, fault, done, plant=plant, worse=worse)


def _known(made: Prepared, stream: Stream) -> pl.DataFrame:
    """Return what the models know of the past: the table, with the live part as the meter told it."""
    before = made.table.filter(pl.col("timestamp") < made.begin.replace(tzinfo=None))
    told = made.live.with_columns(
        pl.Series("timestamp", stream.stamp).cast(before.schema["timestamp"]), pl.Series("load", stream.value)
    ).filter(pl.Series(stream.keep))
    return pl.concat([before, told]).unique("timestamp", keep="last").sort("timestamp")


def _lived(
    hub: Hub, made: Prepared, stream: Stream, good: list[FloatArray], *, deploy_second: datetime
) -> Replayed:
    live = made.live

    def each_day(begin: datetime) -> None:
        for number, when in ((1, made.begin), (2, deploy_second)):
            if begin == when:
                hub.registry.deploy(MODEL, number, actor="ann", reason="gate", now=begin)

    def forecaster(version: int, rows: Any) -> Any:
        return tuple(good[version - 1][:, rows])

    record = Record(
        stamps=live["timestamp"].to_numpy().astype("datetime64[us]"),
        actual=stream.value,
        features={name: live[name].to_numpy() for name in made.series.features},
        told=stream.stamp,
        kept=stream.keep,
        times_told=2 if stream.twice else 1,
    )
    return replay(hub, MODEL, record, forecaster, tenant=DEFAULT_TENANT, looks_a_day=4, each_day=each_day)


def judged(series: str, fault: str, done: Replayed, *, plant: datetime, worse: float) -> Outcome:
    """Say whether what was done was right."""
    acts = [(look.at, one) for look in done.acted for one in look.decisions]
    early = [one for one in acts if not fault or fault in SILENT or one[0] < plant]
    late = [one for one in acts if one not in early]
    is_model_fault = fault in MODEL_FAULTS
    wanted = [one for one in late if one[1].action in ((Action.ROLLBACK,) if is_model_fault else TOLD)]
    changed = any(one.action is Action.ROLLBACK for _, one in acts)
    if not fault or fault in SILENT:
        verdict = "false" if early else "right"
    elif is_model_fault and worse < MATERIAL:
        verdict = "right" if wanted else "too small"
    elif not is_model_fault and changed:
        verdict = "false"
    else:
        verdict = "right" if wanted else "missed"
    shown = (late or early or [(plant, None)])[0][1]
    first = f"{shown.action.value} {shown.reason} {shown.waits}" if shown else ""
    delay = (wanted[0][0] - plant) / timedelta(days=1) if wanted else None
    return Outcome(
        series=series,
        fault=fault or "none",
        verdict=verdict,
        delay_days=delay,
        actions=len(early),
        worse=worse,
        first=first[:150],
    )


def chosen(names: list[str], *, quick: bool, held_back: bool) -> list[Series]:
    if names:
        return [one for one in SERIES if one.name in names]
    if quick:
        return [replace(one, live_days=QUICK_DAYS) for one in SERIES if one.name in QUICK_SERIES]
    return [one for one in SERIES if one.held_back == held_back]


def measured(series: Series, faults: Iterable[str], folder: Path) -> list[Outcome]:
    made = prepared(series, folder / series.name)
    found = []
    for fault in faults:
        if fault in ("swapped", "nan") and not series.features:
            continue
        home = folder / f"{series.name}-{fault or 'none'}"
        found.append(live_through(made, fault, home))
        shutil.rmtree(home)
        print(found[-1].line(), flush=True)
    return found


def summary(found: list[Outcome], seconds: float) -> dict[str, Any]:
    """Return counts over all series, and per series the false actions, the misses and the median delay."""
    by_series: dict[str, Any] = {}
    for one in found:
        mine = by_series.setdefault(
            one.series, {"false_actions": 0, "right": 0, "wrong": [], "delay_days": {}}
        )
        mine["false_actions"] += one.actions
        mine["right"] += one.verdict == "right"
        if one.verdict in ("false", "missed"):
            mine["wrong"].append(one.fault)
        if one.delay_days is not None:
            mine["delay_days"][one.fault] = round(one.delay_days, 2)
    counts = {
        name: sum(o.verdict == name for o in found) for name in ("right", "missed", "false", "too small")
    }
    return {"benchmark": "replay", **counts, "seconds": round(seconds, 1), "series": by_series}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="some months of one series, a few faults: under a minute"
    )
    parser.add_argument("--series", nargs="*", default=[], choices=[one.name for one in SERIES])
    parser.add_argument("--faults", nargs="*", default=None, choices=["none", *MODEL_FAULTS, *DATA_FAULTS])
    parser.add_argument(
        "--held-back", action="store_true", help="the series that the rules were not made with"
    )
    asked = parser.parse_args()
    faults = asked.faults or ["none", *(QUICK_FAULTS if asked.quick else (*MODEL_FAULTS, *DATA_FAULTS))]
    begun = time.perf_counter()
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        for series in chosen(asked.series, quick=asked.quick, held_back=asked.held_back):
            found += measured(series, ["" if one == "none" else one for one in faults], Path(folder))
    print(json.dumps(summary(found, time.perf_counter() - begun)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
