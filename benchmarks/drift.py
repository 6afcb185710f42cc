"""Drift: how often each method cries wolf when nothing has changed, and how soon it sees what has.

1. Tables: 20 clean columns at n from 50 to 10,000,000; immaterial (0.02 sd) and real (0.5 sd) shifts at n = 1,000,000.
2. Weekly windows of the third year of an hourly load (daily, weekly, yearly cycle, AR(.97) weather) against two years.
3. A whole year of looks at an unchanged series.
4. Real series with a known change, where ``--data`` (default ``../shared/data``) exists: days from the change to the
   first alarm, at no more than one false alarm a year. Every method may use its best setting.

Run: ``python benchmarks/drift.py [--quick] [--peer-python PATH] [--data DIR] [--seed N]``. Peers (evidently, nannyml,
alibi-detect, frouros, river) take part where that Python has them. The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import comparison
from aihub.types import Drift
from aihub.validation.drift import SeriesMonitor, SeriesReference, compare_profiles
from aihub.validation.profile import FloatHistogram, NumericSummary, Profile
from aihub.validation.profile.numeric import Moments
from drift_data import SHIFT, YEAR_H, Stream, hourly_load, real_streams, zone_days

COLUMNS = 20
WEEK = 168
SIZES = (50, 100, 300, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
RATES = (0.05, 0.25, 1.0, 2.0, 5.0)
CHUNK = 60
"""Looks taken in at once while there is no alarm."""


def drawn(base: FloatHistogram, n: int, rng: np.random.Generator) -> NumericSummary:
    """Summary of `n` values drawn from a histogram taken as the true distribution: what n = 10,000,000 costs is moot."""
    counts = rng.multinomial(n, base.counts / base.counts.sum())
    kept = counts > 0
    histogram = FloatHistogram(base.shift, base.keys[kept], counts[kept].astype(np.int64), base.grain)
    centre = histogram.lower / 2 + histogram.upper / 2
    mean = float(np.average(centre, weights=counts[kept]))
    m2 = float(np.dot(counts[kept], (centre - mean) ** 2))
    low, high = float(histogram.lower[0]), float(histogram.upper[-1])
    return NumericSummary(n, 0, 0, 0, Moments(n, mean, m2, low, high), histogram)


def clean_columns(reps: int, seed: int) -> dict[int, float]:
    """P(any of 20 clean columns flagged) by n, reference 10,000 rows."""
    rng = np.random.default_rng(seed)
    base = FloatHistogram.of(rng.normal(50.0, 10.0, 400_000))
    found = {}
    for n in SIZES:
        flagged = 0
        for _ in range(reps):
            sides = [
                Profile(rows=rows, columns={f"c{i}": drawn(base, rows, rng) for i in range(COLUMNS)})
                for rows in (10_000, n)
            ]
            flagged += bool(compare_profiles(*sides).drifted)
        found[n] = flagged / reps
    return found


def shifted_columns(seed: int) -> tuple[int, int, int]:
    """Immaterial, real and clean columns flagged at n = 1,000,000, from rows: of 6, 3 and 11."""
    rng = np.random.default_rng(seed)
    shifts = [0.02, -0.02] * 3 + [0.5, -0.5, 0.5] + [0.0] * 11
    columns = {f"c{i}": shift for i, shift in enumerate(shifts)}
    before = Profile.of({name: rng.normal(size=100_000) for name in columns})
    after = Profile.of({name: rng.normal(shift, 1.0, 1_000_000) for name, shift in columns.items()})
    drifted = set(compare_profiles(before, after).drifted)
    by_kind = [[n for n, s in columns.items() if abs(s) == size] for size in (0.02, 0.5, 0.0)]
    return tuple(len(drifted & set(names)) for names in by_kind)  # type: ignore[return-value]


def weekly(
    series: int, seed: int, weather_share: float = 0.7, *, with_weather: bool = False
) -> dict[str, float]:
    """Share of unchanged and of shifted weeks of year three flagged, and of those called too short to tell."""
    verdicts: dict[str, list[Drift]] = {"null": [], "shift": []}
    for k in range(series):
        stamps, load, weather = hourly_load(seed + k, weather_share=weather_share)
        split = 2 * YEAR_H
        given = {"weather": weather} if with_weather else {}
        reference = SeriesReference.fit(
            stamps[:split], load[:split], covariates={name: x[:split] for name, x in given.items()}
        )
        for start in range(split, split + 52 * WEEK, WEEK):
            rows = slice(start, start + WEEK)
            now = {name: x[rows] for name, x in given.items()}
            verdicts["null"].append(reference.test(stamps[rows], load[rows], covariates=now).verdict)
            verdicts["shift"].append(reference.test(stamps[rows], load[rows] + SHIFT, covariates=now).verdict)
    share = {name: float(np.mean([v is Drift.DRIFT for v in found])) for name, found in verdicts.items()}
    return {**share, "undecided": float(np.mean([v is Drift.NOT_ENOUGH_DATA for v in verdicts["null"]]))}


def yearly(series: int, seed: int) -> dict[str, dict[str, float]]:
    """Share of unchanged years with an alarm, and days to the alarm about a shift, by detector."""
    shares = {"both (default)": 0.4, "cusum only": 0.0, "e-process only": 1.0}
    few = min(series, 40)
    alarms: dict[str, list[bool]] = {name: [] for name in shares}
    delays: dict[str, list[float]] = {name: [] for name in shares}
    for k in range(series):
        stamps, load, _ = hourly_load(10_000 + seed + k)
        split = 2 * YEAR_H
        reference = SeriesReference.fit(stamps[:split], load[:split])
        for name, share in shares.items():
            if k >= few and name != "both (default)":
                continue
            quiet = SeriesMonitor.start(reference, evidence_share=share, seed=k)
            shifted = copy.deepcopy(quiet)
            # One call for the year equals a call per look: the state is incremental (see the unit tests).
            alarms[name].append(quiet.update(reference, stamps[split:], load[split:]).verdict is Drift.DRIFT)
            if k < 20:
                delays[name].append(first_alarm(shifted, reference, stamps[split:], load[split:] + SHIFT))
    return {
        name: {"alarm": float(np.mean(alarms[name])), "delay_days": float(np.median(delays[name]))}
        for name in shares
    }


def first_alarm(monitor: SeriesMonitor, reference: SeriesReference, stamps: Any, values: Any) -> float:
    """Days until the alarm, looking every day; infinite without one."""
    for start in range(0, len(values), 24):
        rows = slice(start, start + 24)
        if monitor.update(reference, stamps[rows], values[rows]).verdict is Drift.DRIFT:
            return (start + 24) / 24
    return math.inf


def ours_on(stream: Stream, reference: SeriesReference, rate: float, values: Any) -> list[np.datetime64]:
    """Stamps of all alarms up to the first after the change; looks in between add nothing."""
    monitor = SeriesMonitor.start(reference, false_alarms_per_year=rate)
    live = np.flatnonzero(stream.rows(stream.reference_end, None))
    live = live[np.argsort(stream.stamps[live], kind="stable")]
    found = [stream.stamps.min()] * alarms_in_reference(monitor, reference)
    step = 1 if len(live) < 1000 or reference.constant is not None else 6
    for first in range(0, len(live), CHUNK * step):
        chunk, before = live[first : first + CHUNK * step], copy.deepcopy(monitor)
        if not _alarm(monitor, reference, stream, values, chunk):
            continue
        monitor = before  # once more in single looks: which one was it?
        for start in range(0, len(chunk), step):
            rows = chunk[start : start + step]
            if _alarm(monitor, reference, stream, values, rows):
                found.append(stream.stamps[rows].max())
                if found[-1] >= stream.change:
                    return found
                monitor.acknowledge()
    return found


class Run(NamedTuple):
    """False alarms a year and days from the change to the alarm, by both rules of judgement."""

    early: float
    """Before the change."""
    first: float
    early_and_undone: float
    """Before the change and in a year of the series with the change undone."""
    found: float
    """Infinite where the series with the change undone alarms as early."""


def _alarm(
    monitor: SeriesMonitor, reference: SeriesReference, stream: Stream, values: Any, rows: Any
) -> bool:
    given = {name: x[rows] for name, x in stream.covariates.items()}
    return bool(monitor.update(reference, stream.stamps[rows], values[rows], covariates=given).method)


def judged(stream: Stream, alarms: list[np.datetime64], quiet: list[np.datetime64]) -> Run:
    """Judge one setting; the reference counts as time before the change."""
    day = np.timedelta64(1, "D")
    years = (stream.change - stream.stamps.min()) / day / 365.25
    more = min(1.0, (stream.stamps.max() - stream.change) / day / 365.25)
    early = sum(at < stream.change for at in alarms)
    undone = sum(at >= stream.change and (at - stream.change) / day <= 365.25 for at in quiet)
    late, anyway = ([at for at in found if at >= stream.change] for found in (alarms, quiet))
    # An alarm that comes as early without the change has found the winter.
    is_found = late and not (anyway and anyway[0] <= late[0])
    delay = float((late[0] - stream.change) / day) if is_found else math.inf
    plain = float((late[0] - stream.change) / day) if late else math.inf
    return Run(early / years, plain, (early + undone) / (years + more), delay)


def alarms_in_reference(monitor: SeriesMonitor, reference: SeriesReference) -> int:
    """Alarms of the CUSUM over the reference's own out-of-sample residuals: they are false ones as well."""
    state = monitor.cusum
    count = 0
    for level in reference.level if reference.constant is None else ():
        state = state.update(float(level))
        if state.is_alarm:
            count, state = count + 1, state.restarted()
    return count


def best(runs: list[Run], *, undone: bool = True) -> float:
    """Shortest delay among the settings with at most one false alarm a year."""
    by_rule = [(r.early_and_undone, r.found) if undone else (r.early, r.first) for r in runs]
    return min((delay for rate, delay in by_rule if rate <= 1), default=math.inf)


def real(folder: Path, peers: str | None, *, quick: bool) -> dict[str, dict[str, dict[str, float]]]:
    """Days to the alarm by rule of judgement, stream and method."""
    streams = [s for s in real_streams(folder) if not quick or len(s.stamps) < 30_000]
    runs: dict[str, dict[str, list[Run]]] = {}
    arrays: dict[str, Any] = {}
    for stream in streams:
        before = stream.rows(None, stream.reference_end)
        reference = SeriesReference.fit(
            stream.stamps[before],
            stream.values[before],
            covariates={name: x[before] for name, x in stream.covariates.items()},
            time_zone=stream.time_zone,
        )
        rates = (0.05, 1.0) if quick else RATES
        ours = {
            rate: judged(
                stream, *(ours_on(stream, reference, rate, v) for v in (stream.values, stream.unchanged))
            )
            for rate in rates
        }
        runs[stream.name] = {
            "aihub": list(ours.values()),
            "aihub at 0.05": [ours[0.05]],
            "aihub at 1": [ours[1.0]],
        }
        for name, values in (("", stream.values), ("|undone", stream.unchanged)):
            arrays |= _peer_arrays(stream, reference, values, name)
    answer = ask_peers(peers, arrays, quick=quick)
    for peer, by_task in answer.get("alarms", {}).items():
        for stream in streams:
            runs[stream.name][peer] = [
                judged(stream, *(_stamps(arrays, f"{task}{name}", found[p]) for name, found in both.items()))
                for task, both in _pairs(stream.name, by_task)
                for p in both[""]
            ]
    return {
        rule: {name: {m: best(r, undone=undone) for m, r in row.items()} for name, row in runs.items()}
        for rule, undone in (("undone", True), ("before", False))
    }


def real_years(folder: Path) -> dict[float, dict[str, float]]:
    """Real loads nobody is known to have changed, day by day with the weather: share of years with an alarm; days to -10 %.

    A year follows on two of reference, from two starts per zone. Zones grow: an alarm there need not be a false one.
    """
    stamps, loads, warmth = zone_days(folder)
    outside = {"temperature": warmth}
    found: dict[float, dict[str, list[float]]] = {
        rate: {"unchanged": [], "saved": []} for rate in (0.05, 1.0)
    }
    for values, start in itertools.product(loads, (0, 400)):
        before = slice(start, start + 730)
        after = slice(start + 730, start + 1095)
        given = {name: x[before] for name, x in outside.items()}
        reference = SeriesReference.fit(stamps[before], values[before], covariates=given)
        for rate, kind in itertools.product(found, ("unchanged", "saved")):
            monitor = SeriesMonitor.start(reference, false_alarms_per_year=rate)
            factor = 0.9 if kind == "saved" else 1.0
            delay = math.inf
            for at in range(after.start, after.stop, 5):
                rows = slice(at, min(at + 5, after.stop))
                now = {name: x[rows] for name, x in outside.items()}
                if monitor.update(reference, stamps[rows], factor * values[rows], covariates=now).method:
                    delay = float(rows.stop - after.start)
                    break
            found[rate][kind].append(delay)
    return {
        rate: {
            "alarm": float(np.mean(np.isfinite(row["unchanged"]))),
            "delay_days": float(np.median(row["saved"])),
        }
        for rate, row in found.items()
    }


def _peer_arrays(stream: Stream, reference: SeriesReference, values: Any, name: str) -> dict[str, Any]:
    """Series that the sequential peers take: standardised, without gaps, in time order; raw and our residuals."""
    before, live = stream.rows(None, stream.reference_end), stream.rows(stream.reference_end, None)
    if name:  # a year of the series with the change undone is enough
        live &= stream.stamps < stream.change + np.timedelta64(366, "D")
    found: dict[str, Any] = {}
    # Of a constant nothing is left to explain: its residuals are its values.
    for kind in ("raw", "residual") if reference.constant is None else ("raw",):
        x = values if kind == "raw" else reference.residuals(stream.stamps, values, stream.covariates)
        order = np.argsort(stream.stamps, kind="stable")
        spread = float(np.nanstd(x[before])) or 1.0
        scaled = (x - np.nanmean(x[before])) / spread
        task = f"{stream.name}|{kind}{name}"
        for part, rows in (("before", before), ("live", live)):
            kept = order[rows[order] & np.isfinite(scaled[order])]
            found[f"{task}/{part}"] = scaled[kept]
            found[f"{task}/{part}_stamps"] = stream.stamps[kept].astype(np.int64)
        change = np.searchsorted(found[f"{task}/live_stamps"], stream.change.astype(np.int64))
        found[f"{task}/change"] = np.array(len(x) if name else change)
    return found


def _pairs(stream: str, by_task: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    tasks = [task for task in by_task if task.split("|")[0] == stream and not task.endswith("|undone")]
    return [(task, {"": by_task[task], "|undone": by_task[f"{task}|undone"]}) for task in tasks]


def _stamps(arrays: dict[str, Any], task: str, rows: list[int]) -> list[np.datetime64]:
    parts = [arrays[f"{task}/{part}_stamps"] for part in ("before", "live")]
    stamps = np.concatenate(parts).astype("datetime64[us]")
    return [stamps[len(parts[0]) + row] for row in rows]


def ask_peers(python: str | None, arrays: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """Run the peers in their own interpreter; an empty answer where there are none."""
    if not python:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.npz"
        np.savez(path, **arrays)
        command = [python, str(Path(__file__).with_name("drift_peers.py")), str(path)]
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        print("peers did not answer:", done.stderr[-300:])
        return {}
    return json.loads(lines[-1])


def peer_windows(python: str | None, seed: int, *, quick: bool) -> dict[str, Any]:
    """Return the flags of the windowed peers: weeks raw and residual, unchanged and shifted; 20 clean columns."""
    weeks = 4 if quick else 12  # a third of a second each with some of them
    stamps, load, _ = hourly_load(seed)
    split = 2 * YEAR_H
    reference = SeriesReference.fit(stamps[:split], load[:split])
    arrays: dict[str, Any] = {}
    for kind in ("raw", "residual"):
        for change, by in (("null", 0.0), ("shift", SHIFT)):
            values = load.copy()
            values[split:] += by
            if kind == "residual":
                values = reference.residuals(stamps, values)
            starts = split + WEEK * np.linspace(0, 51, weeks).astype(int)
            arrays[f"{kind} {change}/reference"] = values[:split, None]
            arrays[f"{kind} {change}/current"] = np.stack([values[s : s + WEEK, None] for s in starts])
    rng = np.random.default_rng(seed)
    for n in (1000,) if quick else (100, 1000, 10_000):
        arrays[f"iid {n}/reference"] = rng.normal(size=(10_000, COLUMNS))
        arrays[f"iid {n}/current"] = rng.normal(size=(2 if quick else 10, n, COLUMNS))
    return ask_peers(python, arrays, quick=quick)


def measure(
    quick: bool = False,  # noqa: FBT001, FBT002 - shared by the benchmarks
    seed: int = 0,
    peers: str | None = None,
    data: Path | None = None,
) -> dict[str, Any]:
    """Measure everything, print the tables, return the keys."""
    started = time.perf_counter()
    clean = clean_columns(20 if quick else 100, seed)
    tiny, real_shifts, clean_large = shifted_columns(seed)
    weeks = weekly(4 if quick else 30, seed)
    looks = yearly(12 if quick else 200, seed)
    print("P(any of 20 clean columns flagged) by n:", {n: round(p, 3) for n, p in clean.items()})
    print(
        f"n = 1,000,000: {tiny} of 6 immaterial, {real_shifts} of 3 real, {clean_large} of 11 clean columns flagged"
    )
    print(f"\n{'weekly windows of year three':42s}{'unchanged':>10s}{'+1.45 sd':>10s}")
    print(f"{'aihub':42s}{weeks['null']:10.3f}{weeks['shift']:10.3f}")
    if not quick:
        for share in (0.5, 0.8, 1.0):
            found = weekly(15, seed, share)
            print(
                f"{f'aihub, weather {share:.0%} of the residual':42s}{found['null']:10.3f}{found['shift']:10.3f}"
            )
        found = weekly(15, seed, with_weather=True)
        print(f"{'aihub, weather given as a covariate':42s}{found['null']:10.3f}{found['shift']:10.3f}")
    windows = peer_windows(peers, seed, quick=quick)
    for peer, tasks in windows.get("windows", {}).items():
        for kind in ("raw", "residual"):
            if f"{kind} null" in tasks:
                shares = [float(np.mean(tasks[f"{kind} {change}"])) for change in ("null", "shift")]
                print(f"{f'{peer}, {kind} values':42s}{shares[0]:10.3f}{shares[1]:10.3f}")
        iid = {
            t.split()[1]: round(float(np.mean(np.any(f, axis=1))), 3) for t, f in tasks.items() if "iid" in t
        }
        print(f"{f'{peer}, P(any of 20 clean columns) by n':42s}{iid}")
    for peer, error in windows.get("errors", {}).items():
        print(f"{peer}: {error}")
    print(f"\n{'a year of looks, budget 0.05':42s}{'alarm':>10s}{'days to +1.45 sd':>18s}")
    for name, row in looks.items():
        print(f"{name:42s}{row['alarm']:10.3f}{row['delay_days']:18.1f}")
    keys: dict[str, Any] = {
        "iid_false_alarm_max": max(clean.values()),
        "tiny_flagged": tiny,
        "real_flagged": real_shifts,
        "seasonal_false_alarm": weeks["null"],
        "seasonal_power": weeks["shift"],
        "yearly_false_alarm": looks["both (default)"]["alarm"],
    }
    if data is not None and data.is_dir():
        if not quick:
            keys["real_year_alarms"] = _real_years(data)
        found = real(data, peers, quick=quick)
        keys |= _real_table(found["undone"])
        print("\nThe same, alarms on the series with the change undone not counted:")
        _print_real(found["before"])
    keys["dm_size_max"] = comparison.measure(quick=True)["dm_size_max"]
    print(f"\n{time.perf_counter() - started:.0f} s")
    return keys


def _real_years(data: Path) -> float:
    years = real_years(data)
    print(
        "\nYears of daily zone loads that nobody is known to have changed (they may have grown), with the weather:"
    )
    for rate, row in years.items():
        print(f"  budget {rate:g}: alarm in {row['alarm']:.2f}; median {row['delay_days']:.0f} days to -10 %")
    return years[0.05]["alarm"]


def _real_table(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    print(
        "\nDays from the change to the alarm, at no more than one false alarm a year before the change and on the"
    )
    print(
        "series with the change undone (inf: not found); every method at its best setting, ours also as set beforehand"
    )
    methods = _print_real(found)
    peers = [m for m in methods if not m.startswith("aihub")]
    first = sum(all(row["aihub"] <= row.get(p, math.inf) for p in peers) for row in found.values())
    return {
        "real_streams": len(found),
        "real_shortest": first if peers else None,
        "real_delay_days": {name: _finite(row["aihub"]) for name, row in found.items()},
        "real_delay_days_preset": {name: _finite(row["aihub at 0.05"]) for name, row in found.items()},
    }


def _print_real(found: dict[str, dict[str, float]]) -> list[str]:
    methods = list(dict.fromkeys(m for row in found.values() for m in row))
    print(f"{'':40s}" + "".join(f"{m[:16]:>18s}" for m in methods))
    for name, row in found.items():
        print(f"{name:40s}" + "".join(f"{row.get(m, math.nan):18.2f}" for m in methods))
    return methods


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _interpreter(path: str) -> str:
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(
            f"{path} is no Python interpreter; give the path of one that has the peers"
        )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--peer-python", type=_interpreter, help="a Python that has the peers; default this one"
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    args = parser.parse_args()
    print(json.dumps(measure(args.quick, args.seed, args.peer_python or sys.executable, args.data)))


if __name__ == "__main__":
    main()
