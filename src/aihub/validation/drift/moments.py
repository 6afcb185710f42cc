"""The guide's z-test: a current mean against a training mean and standard deviation, when nothing else was kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.types import Drift
from aihub.validation.drift.normal import normal_tail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def mean_std_drift(
    data: Mapping[str, Any],
    training_stats: Mapping[str, Mapping[str, float]],
    threshold: float = 0.05,
    *,
    min_effect_sd: float = 0.0,
) -> dict[str, dict[str, Any]]:
    """Test each column's mean against ``{"mean": .., "std": ..}`` by a two-sided z-test.

    z = (mean - training mean) / (std / sqrt(n)); drift where p < `threshold` and the shift is above `min_effect_sd`
    training standard deviations. Assumes independent rows and no season; on 20 clean columns it flags at least one in
    1 - 0.95^20 = 64 % of the runs whatever n is, which is why it is used only where a profile is missing.

    Parameters
    ----------
    data
        Table of current rows: anything that answers ``data[column]`` and ``column in data`` (a mapping of arrays,
        pandas), or a polars data frame. NaN and infinite values are left out and counted.
    training_stats
        Per column mean and standard deviation of the training rows.
    threshold
        P-value below which a column drifted, in (0, 1).
    min_effect_sd
        Shifts up to this many standard deviations are no drift.

    Returns
    -------
    dict
        Per column of `training_stats` ``drift`` (bool; None where nothing can be told), ``p_value``, ``z_score``
        (None where undefined), ``verdict`` (`Drift`), ``n`` and ``reason``. A missing column is drift; an empty column
        or statistics that are NaN are not enough data; with a std of 0 any other mean is drift.

    Raises
    ------
    ValueError
        `threshold` is not in (0, 1).

    Examples
    --------
    >>> stats = {"temperature": {"mean": 20.0, "std": 5.0}}
    >>> found = mean_std_drift({"temperature": [22.0, 24.0, 21.0, 25.0] * 5}, stats)["temperature"]
    >>> found["drift"], round(found["z_score"], 2), round(found["p_value"], 4)
    (True, 2.68, 0.0073)
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie between 0 and 1, got {threshold}; 0.05 is the usual choice")
    columns = set(getattr(data, "columns", data))
    return {
        name: _one(data[name], stats, threshold, min_effect_sd)
        if name in columns
        else _answer(Drift.DRIFT, "the column is missing from the current data")
        for name, stats in training_stats.items()
    }


def _one(values: Any, stats: Mapping[str, float], threshold: float, min_effect_sd: float) -> dict[str, Any]:
    numbers = _finite(values)
    if numbers is None:
        return _answer(Drift.DRIFT, "the column is no longer numeric")
    mean, std = _number(stats.get("mean")), _number(stats.get("std"))
    n = numbers.size
    if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
        return _answer(Drift.NOT_ENOUGH_DATA, "the training statistics lack a finite mean and std", n=n)
    if n == 0:
        return _answer(Drift.NOT_ENOUGH_DATA, "the column has no finite value", n=0)
    shift = float(numbers.mean()) - mean
    standard_error = std / math.sqrt(n)
    if standard_error == 0:
        # A constant in training, or a spread so small that no mean has it: the values may only differ by rounding.
        moved = bool(np.any(np.abs(numbers - mean) > 1e-9 * max(1.0, abs(mean))))
        z = math.copysign(math.inf, shift) if moved else 0.0
        return _decide(z, 0.0 if moved else 1.0, n, is_drift=moved)
    z = shift / standard_error
    p = min(1.0, 2 * normal_tail(abs(z)))
    return _decide(z, p, n, is_drift=p < threshold and abs(shift) > min_effect_sd * std)


def _finite(values: Any) -> NDArray[np.float64] | None:
    try:
        numbers = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    return numbers[np.isfinite(numbers)]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _decide(z: float, p: float, n: int, *, is_drift: bool) -> dict[str, Any]:
    return _answer(Drift.DRIFT if is_drift else Drift.OK, "", n=n, z=z, p=p)


def _answer(
    verdict: Drift, reason: str, *, n: int = 0, z: float | None = None, p: float | None = None
) -> dict[str, Any]:
    return {
        "drift": None if verdict is Drift.NOT_ENOUGH_DATA else verdict is Drift.DRIFT,
        "p_value": p,
        "z_score": z,
        "verdict": verdict,
        "n": n,
        "reason": reason,
    }
