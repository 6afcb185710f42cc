"""What the gate costs: against one pass over the columns, against a peer, from Parquet, and its report.

    python benchmarks/validation.py [--quick] [--peer-python PATH]

Everything runs on one thread, in one run, in CPU seconds; figures are medians of five unless said otherwise. The last line
is one JSON object:

gate_vs_fused          CPU of the default gate on 1,000,000 x 23 (20 numeric, 3 categorical, with target and model), the
                       profile of its 100,000 reference rows made in the same time, over one numpy pass that counts and
                       takes mean, variance, minimum and maximum of each numeric column and counts each category
gate_extra_mb          peak resident memory of that gate above the loaded tables
evidently_vs_gate      CPU of evidently's DataDriftPreset on the same tables over that gate (one run)
parquet_10m_peak_mb    peak resident memory of a process that profiles 10,000,000 x 23 from Parquet
parquet_10m_vs_scan    its CPU over the faster of polars and DuckDB with the same aggregates and approximate quantiles
compare_ms             comparing two profiles of 23 columns
html_kb                HTML report of a gate over 100 features
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - the number of threads is read when a library is loaded
import polars as pl  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable

NUMERIC, CATEGORICAL = 20, 3
FEATURES = [*(f"x{i}" for i in range(NUMERIC)), *(f"c{i}" for i in range(CATEGORICAL))]


def table(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    data: dict[str, Any] = {f"x{i}": rng.normal(10.0 * i, 1.0 + i, n) for i in range(NUMERIC)}
    for i in range(CATEGORICAL):
        size = 10 * (i + 1)
        labels = pl.Series([f"kind {k}" for k in range(size)])
        data[f"c{i}"] = labels.gather(rng.integers(0, size, n)).cast(pl.Categorical)
    data["load"] = 1000.0 + 10.0 * data["x0"] + rng.normal(size=n)
    return pl.DataFrame(data)


class Model:
    """Answers at about no cost, so that the gate is what is measured."""

    feature_names = tuple(FEATURES)

    def predict(self, data: Any) -> Any:  # noqa: D102 - the protocol's
        return 1000.0 + 10.0 * np.asarray(data["x0"])


def cpu(action: Callable[[], Any], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        gc.collect()
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def fused(data: pl.DataFrame) -> list[Any]:
    """One pass of numpy over each column; the categories by their codes."""
    found: list[Any] = []
    for i in range(NUMERIC):
        x = data[f"x{i}"].to_numpy()
        found.append((x.size - np.count_nonzero(np.isnan(x)), x.mean(), x.var(), x.min(), x.max()))
    found += [np.bincount(data[f"c{i}"].to_physical().to_numpy()) for i in range(CATEGORICAL)]
    return found


def gate(current: pl.DataFrame, reference: pl.DataFrame) -> Any:
    from aihub.validation.profile import Profile  # noqa: PLC0415 - the peers' processes do not need it
    from aihub.validation.validator import ModelValidator  # noqa: PLC0415 - as above

    profile = Profile.of(reference.select(FEATURES))
    return ModelValidator("forecast").validate_model(Model(), current, "load", training_profile=profile)


def peak_mb() -> float:
    """Highest resident memory of this process since it was last reset, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def gate_memory(rows: int) -> dict[str, float]:
    """Child process: peak memory of a gate above its tables; needs Linux to reset the peak."""
    current, reference = table(rows, 1), table(rows // 10, 2)
    gate(current.head(1000), reference.head(1000))  # libraries are loaded before the measurement
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    gate(current, reference)
    return {"extra_mb": peak_mb() - before}


def child(*arguments: str, python: str = sys.executable, code: str | None = None) -> dict[str, float]:
    command = [python, "-c", code] if code else [python, __file__]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments or 'peer'} failed:\n{done.stderr[-3000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


EVIDENTLY = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
current, reference = (pd.read_parquet(path) for path in sys.argv[1:3])
start = time.process_time()
Report([DataDriftPreset()]).run(current, reference).dict()
print(json.dumps({"seconds": time.process_time() - start}))
"""


def evidently(current: pl.DataFrame, reference: pl.DataFrame, python: str | None) -> float | None:
    """CPU seconds of evidently's drift preset on the same tables, or None where it is not installed."""
    if python is None and importlib.util.find_spec("evidently") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/current.parquet", f"{folder}/reference.parquet"]
        for data, path in zip((current, reference), paths, strict=True):
            data.select(FEATURES).with_columns(pl.col(pl.Categorical).cast(pl.String)).write_parquet(path)
        try:
            return child(*paths, python=python or sys.executable, code=EVIDENTLY)["seconds"]
        except SystemExit as broken:
            print(f"{'evidently DataDriftPreset':28} not measured: {str(broken).splitlines()[-1]}")
            return None


def write_parquet(path: str, rows: int) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only here

    part = 500_000
    writer = None
    for start in range(0, rows, part):
        piece = table(min(part, rows - start), start).select(FEATURES)
        piece = piece.with_columns(pl.col(pl.Categorical).cast(pl.String)).to_arrow()
        writer = writer or pq.ParquetWriter(path, piece.schema)
        writer.write_table(piece)
    if writer is not None:
        writer.close()


def scan_profile(path: str) -> None:
    from aihub.validation.profile import Profile  # noqa: PLC0415 - as in `gate`

    Profile.of(path)


def scan_polars(path: str) -> None:
    frame = pl.scan_parquet(path)
    numeric = [pl.col(f"x{i}") for i in range(NUMERIC)]
    wanted = [
        expression.alias(f"{name}_{i}")
        for i, x in enumerate(numeric)
        for name, expression in {
            "count": x.count(),
            "null": x.null_count(),
            "min": x.min(),
            "max": x.max(),
            "mean": x.mean(),
            "var": x.var(),
        }.items()
    ]
    frame.select(wanted).collect(engine="streaming")
    for i in range(NUMERIC):
        frame.select(pl.col(f"x{i}").hist(bin_count=512)).collect(engine="streaming")
    for i in range(CATEGORICAL):
        frame.group_by(f"c{i}").len().collect(engine="streaming")


def scan_duckdb(path: str, *, quantiles: bool) -> None:
    import duckdb  # noqa: PLC0415 - a peer that need not be installed

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    extra = ", approx_quantile(x{0}, [0.01, 0.25, 0.5, 0.75, 0.99])" if quantiles else ""
    one = "count(x{0}), min(x{0}), max(x{0}), avg(x{0}), var_samp(x{0})" + extra
    wanted = ", ".join(one.format(i) for i in range(NUMERIC))
    connection.execute(f"SELECT count(*), {wanted} FROM '{path}'").fetchall()  # noqa: S608 - our own file name
    for i in range(CATEGORICAL):
        connection.execute(f"SELECT c{i}, count(*) FROM '{path}' GROUP BY c{i}").fetchall()  # noqa: S608 - as above


SCANS: dict[str, Callable[[str], None]] = {
    "profile": scan_profile,
    "polars": scan_polars,
    "duckdb": lambda path: scan_duckdb(path, quantiles=True),
    "duckdb without quantiles": lambda path: scan_duckdb(path, quantiles=False),
}


def scan(name: str, path: str) -> dict[str, float]:
    """Child process: CPU seconds and peak memory of one scan."""
    start = time.process_time()
    SCANS[name](path)
    return {"seconds": time.process_time() - start, "peak_mb": peak_mb()}


def scans(rows: int, times: int, python: str) -> dict[str, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/table.parquet"
        write_parquet(path, rows)
        for name in SCANS:
            interpreter = python if name.startswith("duckdb") else sys.executable
            try:
                runs = [child("--scan", name, path, python=interpreter) for _ in range(times)]
            except SystemExit as missing:
                print(f"{name:28} not measured: {str(missing).splitlines()[-1]}")
                continue
            found[name] = {key: statistics.median(run[key] for run in runs) for key in ("seconds", "peak_mb")}
            print(f"{name:28} {found[name]['seconds']:8.2f} CPU-s {found[name]['peak_mb']:8.0f} MB peak")
    return found


def html_report() -> tuple[float, float]:
    """Size in kB and CPU seconds of the HTML report of a gate over 100 features, half of which drifted."""
    from aihub.validation.profile import Profile  # noqa: PLC0415 - as in `gate`
    from aihub.validation.report.html import render_html  # noqa: PLC0415 - as above
    from aihub.validation.validator import ModelValidator  # noqa: PLC0415 - as above

    rng = np.random.default_rng(0)
    n = 2000
    data = {f"x{i}": rng.normal(i % 2, 1, n) for i in range(100)}
    before = Profile.of({f"x{i}": rng.normal(0, 1, n) for i in range(100)})
    data["load"] = 1000.0 + 10.0 * data["x0"] + rng.normal(size=n)
    hours = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "h")

    class Wide(Model):
        feature_names = tuple(name for name in data if name != "load")

    frame = pl.DataFrame({**data, "timestamp": hours})
    report = ModelValidator("forecast").validate_model(
        Wide(), frame, "load", training_profile=before, timestamps="timestamp", champion=data["load"] + 1
    )
    return len(render_html(report).encode()) / 1000, cpu(lambda: render_html(report))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="the same rows, each scan once and no evidently: under a minute"
    )
    parser.add_argument("--peer-python", help="interpreter that has evidently and duckdb")
    parser.add_argument("--scan", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--gate-memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scan:
        print(json.dumps(scan(*options.scan)))
    elif options.gate_memory:
        print(json.dumps(gate_memory(options.gate_memory)))
    else:
        measure(rows=1_000_000, peer=options.peer_python, is_quick=options.quick)


def measure(*, rows: int, peer: str | None, is_quick: bool) -> None:
    from aihub.validation.drift import compare_profiles  # noqa: PLC0415 - as in `gate`
    from aihub.validation.profile import Profile  # noqa: PLC0415 - as above

    current, reference = table(rows, 1), table(rows // 10, 2)
    gate(current.head(1000), reference.head(1000))
    base, own = cpu(lambda: fused(current)), cpu(lambda: gate(current, reference))
    profiled = cpu(lambda: Profile.of(current.select(FEATURES)))
    print(f"{rows} x 23, load {os.getloadavg()[0]:.1f}")
    print(f"{'fused numpy pass':28} {base:8.3f} CPU-s      1.0")
    print(f"{'profile of the table':28} {profiled:8.3f} CPU-s {profiled / base:8.1f}")
    print(f"{'default gate':28} {own:8.3f} CPU-s {own / base:8.1f}")
    theirs = None if is_quick else evidently(current, reference, peer)
    if theirs is not None:
        print(f"{'evidently DataDriftPreset':28} {theirs:8.3f} CPU-s {theirs / base:8.1f}")
    extra = child("--gate-memory", str(rows))["extra_mb"]
    print(f"{'gate, memory on top':28} {extra:8.1f} MB")
    a, b = Profile.of(reference.select(FEATURES)), Profile.of(current.select(FEATURES))
    compared = cpu(lambda: compare_profiles(a, b)) * 1000
    print(f"{'compare two profiles':28} {compared:8.2f} ms; a profile has {len(a.to_bytes()) / 1000:.0f} kB")
    found = scans(10 * rows, 1 if is_quick else 3, peer or sys.executable)
    peers = [found[name]["seconds"] for name in ("polars", "duckdb") if name in found]
    size, seconds = html_report()
    print(f"{'HTML report, 100 features':28} {seconds:8.3f} CPU-s {size:8.0f} kB")
    figures = {
        "gate_vs_fused": own / base,
        "gate_extra_mb": extra,
        "evidently_vs_gate": None if theirs is None else theirs / own,
        "parquet_10m_peak_mb": found["profile"]["peak_mb"],
        "parquet_10m_vs_scan": found["profile"]["seconds"] / min(peers) if peers else None,
        "compare_ms": compared,
        "html_kb": size,
    }
    print(json.dumps({key: None if value is None else round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
