"""Champion against challenger: how often each rule is wrong when nothing is wrong, and how often it sees what is there.

Two models' errors are correlated .8 with each other and autocorrelated:

- ``h1``: AR(.7);
- ``h24``: every error is the sum of the last 24 shocks, as those of a forecast issued every hour a day ahead are;
- ``h24_ar``: the same, the shocks themselves AR(.7).

No rule that could be used in practice is told which; the two marked "told" are, and show what that is worth.

Power is compared in three ways, because a rule that cries wolf sees every wolf: raw; each cell at its own true size
of 5 % (nobody can do that, it needs the truth); and at one level per n and loss that keeps the rule's worst size
over the horizons at the worst size of ours, which is what somebody who is not told the horizon could do at best.

Run: ``python benchmarks/comparison.py [--quick] [--seed N]``. The last line is JSON. Packaged tests take part where they
are installed (``dieboldmariano``, ``arch``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import signal, special

from aihub.validation.comparison import Verdict, compare_losses
from aihub.validation.paired import paired_tests

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Rule = Callable[[Array], Array]

HORIZONS = ("h1", "h24", "h24_ar")
LOSSES: dict[str, Callable[[Array], Array]] = {"absolute": np.abs, "squared": np.square}
LEVEL = 0.05
OURS = "aihub"
BOOTSTRAP = "block bootstrap n^(1/3)"
TOLD = "block bootstrap 24 (told)"


def errors(rng: np.random.Generator, reps: int, n: int, horizon: str) -> tuple[Array, Array]:
    """Errors of two equally good models, each of shape (reps, n)."""
    burn = 60
    shocks = rng.standard_normal((3, reps, n + burn))
    if horizon != "h24":
        shocks = signal.lfilter([1.0], [1.0, -0.7], shocks, axis=2)
    if horizon != "h1":
        shocks = signal.lfilter(np.ones(24), [1.0], shocks, axis=2)
    shared, one, two = shocks[:, :, burn:]
    return np.sqrt(0.8) * shared + np.sqrt(0.2) * one, np.sqrt(0.8) * shared + np.sqrt(0.2) * two


def worse_by(n: int, horizon: str) -> float:
    """How much worse the challenger is where power is measured: enough that no rule is at 0 or 1."""
    return 2.4 / n**0.5 * (1 if horizon == "h1" else 4)


def coroneo_iacone(d: Array) -> Array:
    n = d.shape[1]
    m = int(n ** (1 / 3))
    ordinates = np.abs(np.fft.rfft(d - d.mean(axis=1, keepdims=True), axis=1)[:, 1 : m + 1]) ** 2 / n
    t = np.abs(d.mean(axis=1)) / np.sqrt(ordinates.mean(axis=1) / n)
    return np.asarray(2 * special.stdtr(2 * m, -t))


def harvey(horizon: int) -> Rule:
    """Harvey, Leybourne and Newbold with the horizon it is given; a negative variance is no rejection."""

    def rule(d: Array) -> Array:
        n = d.shape[1]
        x = d - d.mean(axis=1, keepdims=True)
        variance = (x * x).mean(axis=1)
        for lag in range(1, horizon):
            variance = variance + 2 * (x[:, lag:] * x[:, :-lag]).sum(axis=1) / n
        adjust = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
        with np.errstate(invalid="ignore"):
            t = np.abs(d.mean(axis=1)) * np.sqrt(max(adjust, 0.0) * n / variance)
        return np.where(variance > 0, 2 * special.stdtr(n - 1, -np.nan_to_num(t)), 1.0)

    return rule


def block_bootstrap(block_of: Callable[[int], int], seed: int = 7, draws: int = 499) -> Rule:
    """Circular block bootstrap of the mean; the same draws for every replication make it one matrix product."""

    def rule(d: Array) -> Array:
        n = d.shape[1]
        block = block_of(n)
        starts = np.random.default_rng(seed).integers(0, n, size=(draws, -(-n // block)))
        drawn = ((starts[:, :, None] + np.arange(block)) % n).reshape(draws, -1)[:, :n]
        weights = np.stack([np.bincount(row, minlength=n) for row in drawn]) / n
        spread = (d @ weights.T).std(axis=1)
        return np.asarray(2 * special.ndtr(-np.abs(d.mean(axis=1)) / spread))

    return rule


RULES: dict[str, Rule] = {
    OURS: lambda d: paired_tests(d).p_value,
    "Coroneo-Iacone m=n^(1/3)": coroneo_iacone,
    "DM, h=1 (packaged default)": harvey(1),
    "HLN, h=24 (told)": harvey(24),
    BOOTSTRAP: block_bootstrap(lambda n: int(np.ceil(n ** (1 / 3)))),
    TOLD: block_bootstrap(lambda _: 24),
}


def simulate(
    ns: tuple[int, ...], reps: int, seed: int
) -> dict[tuple[str, str, int, str], tuple[Array, Array]]:
    """p-values under no difference and under `worse_by`, by (rule, loss, n, horizon)."""
    found = {}
    for number, (n, horizon) in enumerate((n, h) for n in ns for h in HORIZONS):
        rng = np.random.default_rng([seed, number])
        champion, challenger = errors(rng, reps, n, horizon)
        champion_2, challenger_2 = errors(rng, reps, n, horizon)
        challenger_2 = challenger_2 * (1 + worse_by(n, horizon))
        for loss, of in LOSSES.items():
            null, alternative = of(challenger) - of(champion), of(challenger_2) - of(champion_2)
            for name, rule in RULES.items():
                found[name, loss, n, horizon] = rule(null), rule(alternative)
    return found


def level_for(p: list[Array], size: float) -> float:
    """Return the largest nominal level at which none of the cells rejects more often than `size`."""
    return float(min(np.quantile(cell, size) for cell in p))


def powers(found: dict[Any, Any], ns: tuple[int, ...], rival: str) -> dict[str, Any]:
    """Our power against the rival's: raw, each cell at its true 5 %, and at one level per n and loss."""
    cells = []
    for n in ns:
        for loss in LOSSES:
            mine = [found[OURS, loss, n, h] for h in HORIZONS]
            other = [found[rival, loss, n, h] for h in HORIZONS]
            worst = max(float((p0 < LEVEL).mean()) for p0, _ in mine)
            fair = level_for([p0 for p0, _ in other], worst)
            for horizon, (m0, m1), (o0, o1) in zip(HORIZONS, mine, other, strict=True):
                cells.append(
                    {
                        "n": n,
                        "loss": loss,
                        "horizon": horizon,
                        "ours": float((m1 < LEVEL).mean()),
                        "rival": float((o1 < LEVEL).mean()),
                        "rival_size": float((o0 < LEVEL).mean()),
                        "ours_at_5": float((m1 < np.quantile(m0, LEVEL)).mean()),
                        "rival_at_5": float((o1 < np.quantile(o0, LEVEL)).mean()),
                        "rival_fair": float((o1 < fair).mean()),
                    }
                )
    by_n = [[c for c in cells if c["n"] == n] for n in ns]
    return {
        "fair": min(sum(c["ours"] for c in at) / sum(c["rival_fair"] for c in at) for at in by_n),
        "fair_cell_min": min(c["ours"] / max(c["rival_fair"], 1e-3) for c in cells),
        "at_5_mean": float(np.mean([c["ours_at_5"] / c["rival_at_5"] for c in cells])),
        "at_5_min": min(c["ours_at_5"] / c["rival_at_5"] for c in cells),
        "cells": cells,
    }


def verdicts(ns: tuple[int, ...], reps: int, seed: int) -> list[dict[str, Any]]:
    """Count the gate's three verdicts beside the fixed 5 % tolerance, for an equal and for a 10 % worse challenger."""
    rows = []
    for number, (n, horizon) in enumerate((n, h) for n in ns for h in HORIZONS[:2]):
        rng = np.random.default_rng([seed, 1000 + number])
        row: dict[str, Any] = {"n": n, "horizon": horizon}
        for truth, factor in (("equal", 1.0), ("margin", 1.05), ("worse", 1.10)):
            champion, challenger = (np.abs(e) for e in errors(rng, reps, n, horizon))
            challenger = factor * challenger
            found = [
                compare_losses(a, b, resamples=0).verdict for a, b in zip(champion, challenger, strict=True)
            ]
            row[f"{truth}_accepted"] = float(np.mean([v is Verdict.BETTER_OR_EQUIVALENT for v in found]))
            row[f"{truth}_rejected"] = float(np.mean([v is Verdict.WORSE for v in found]))
            row[f"{truth}_rejected_by_tolerance"] = float(
                (challenger.mean(axis=1) > 1.05 * champion.mean(axis=1)).mean()
            )
        rows.append(row)
    return rows


def packaged(ns: tuple[int, ...], reps: int, seed: int) -> list[dict[str, Any]]:
    """Size of packaged tests as they come, at n and horizon; those that are not installed say so."""
    rows: list[dict[str, Any]] = []
    for n in ns:
        for number, horizon in enumerate(HORIZONS[:2]):
            one, two = errors(np.random.default_rng([seed, 2000 + n, number]), reps, n, horizon)
            rows += [
                {"peer": peer, "n": n, "horizon": horizon, "size": size}
                for peer, size in {**_dieboldmariano(one, two), **_arch(one, two)}.items()
            ]
    return rows


def _dieboldmariano(one: Array, two: Array) -> dict[str, float | None]:
    name = "dieboldmariano {} (size, 5 %)"
    if importlib.util.find_spec("dieboldmariano") is None:
        return {name.format("not installed"): None}
    from dieboldmariano import NegativeVarianceException, dm_test  # noqa: PLC0415

    sizes: dict[str, float | None] = {}
    for words, options in {
        "default": {},
        "h=24 (told)": {"h": 24},
        "h=24 Bartlett (told)": {"h": 24, "variance_estimator": "bartlett"},
    }.items():
        rejected = 0
        for a, b in zip(one.tolist(), two.tolist(), strict=True):
            try:
                rejected += dm_test([0.0] * len(a), a, b, **options)[1] < LEVEL
            except NegativeVarianceException:
                continue
        sizes[name.format(words)] = rejected / len(one)
    return sizes


def _arch(one: Array, two: Array) -> dict[str, float | None]:
    name = "arch circular block bootstrap, automatic length"
    if importlib.util.find_spec("arch") is None:
        return {f"{name}: not installed": None}
    from arch.bootstrap import CircularBlockBootstrap, optimal_block_length  # noqa: PLC0415

    rejected = 0
    for number, d in enumerate(two[:200] ** 2 - one[:200] ** 2):
        block = max(int(np.ceil(optimal_block_length(d)["circular"].iloc[0])), 1)
        resampled = CircularBlockBootstrap(min(block, len(d) - 1), d, seed=number)
        low, high = resampled.conf_int(np.mean, 199, method="percentile").ravel()
        rejected += not low <= 0 <= high
    return {name: rejected / min(len(one), 200)}


def measure(quick: bool = False, seed: int = 0) -> dict[str, Any]:  # noqa: FBT001, FBT002 - shared by the benchmarks
    """Everything this benchmark measures; `quick` takes under a minute."""
    ns = (48, 72, 168, 720) if quick else (48, 60, 72, 96, 128, 168, 336, 720, 2160)
    reps = 2000 if quick else 5000
    found = simulate(ns, reps, seed)
    sizes = {
        rule: {
            loss: {h: {n: float((found[rule, loss, n, h][0] < LEVEL).mean()) for n in ns} for h in HORIZONS}
            for loss in LOSSES
        }
        for rule in RULES
    }
    worst = {
        rule: max(v for by_h in by_loss.values() for by_n in by_h.values() for v in by_n.values())
        for rule, by_loss in sizes.items()
    }
    power = powers(found, ns, BOOTSTRAP)
    told = powers(found, ns, TOLD)
    rule_ns = tuple(n for n in ns if n in {48, 168, 720})
    return {
        "dm_size_max": worst[OURS],
        "dm_power_vs_bootstrap": power["fair"],
        "dm_power_vs_bootstrap_cell_min": power["fair_cell_min"],
        "dm_power_vs_bootstrap_told": told["fair"],
        "dm_power_at_true_size_mean": power["at_5_mean"],
        "dm_power_at_true_size_min": power["at_5_min"],
        "size_max": worst,
        "size": sizes,
        "power": power["cells"],
        "verdicts": verdicts(rule_ns, 300 if quick else 1500, seed),
        "peers": packaged((48, 168) if quick else (48, 168, 720), 100 if quick else 400, seed),
        "replications": reps,
        "standard_error": float(np.sqrt(LEVEL * (1 - LEVEL) / reps)),
    }


def show(result: dict[str, Any]) -> None:
    ns = list(result["size"][OURS]["absolute"]["h1"])
    print(f"Rejections of an EQUAL challenger at nominal 5 % ({result['replications']} replications)")
    print(f"{'rule':30}{'loss':10}{'errors':8}" + "".join(f"{n:>7}" for n in ns))
    for rule, by_loss in result["size"].items():
        for loss, by_horizon in by_loss.items():
            for horizon, by_n in by_horizon.items():
                print(f"{rule:30}{loss:10}{horizon:8}" + "".join(f"{by_n[n]:7.3f}" for n in ns))
    print(
        f"\nPower against '{BOOTSTRAP}': raw (its size), each at its true 5 %, at the best level it could use"
    )
    for c in result["power"]:
        print(
            f"n={c['n']:<6}{c['loss']:10}{c['horizon']:8} raw {c['ours']:.2f} / {c['rival']:.2f} ({c['rival_size']:.2f})"
            f"   true 5 % {c['ours_at_5']:.2f} / {c['rival_at_5']:.2f}   usable {c['ours']:.2f} / {c['rival_fair']:.2f}"
        )
    print("\nVerdicts (margin 5 %): accepted / rejected by us; rejected by the fixed 5 % tolerance")
    for v in result["verdicts"]:
        print(
            f"n={v['n']:<6}{v['horizon']:8}"
            + "   ".join(
                f"{t} {v[f'{t}_accepted']:.3f} / {v[f'{t}_rejected']:.3f}; {v[f'{t}_rejected_by_tolerance']:.3f}"
                for t in ("equal", "margin", "worse")
            )
        )
    print("\nPackaged tests as they come, squared error, EQUAL challenger rejected")
    for p in result["peers"]:
        size = "-" if p["size"] is None else f"{p['size']:.3f}"
        print(f"{p['peer']:50} n={p['n']:<6}{p['horizon']:8}{size}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.process_time()
    result = measure(quick=given.quick, seed=given.seed)
    result["cpu_s"] = time.process_time() - started
    show(result)
    print(
        json.dumps(
            {
                k: round(v, 4) if isinstance(v, float) else v
                for k, v in result.items()
                if k not in {"size", "power"}
            }
        )
    )


if __name__ == "__main__":
    main()
