"""Several columns at once: changes of their dependence that no single column shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from aihub.types import Drift
from aihub.validation.drift.verdict import DriftResult, undecided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

_FEATURES = 128
"""Random Fourier features: enough for a kernel estimate far finer than the sampling noise of 5,000 rows."""
_MIN_BLOCKS = 10


def kernel_drift(
    reference: Mapping[str, FloatArray],
    current: Mapping[str, FloatArray],
    *,
    alpha: float = 0.05,
    min_effect: float = 0.01,
    block: int = 1,
    permutations: int = 499,
    max_rows: int = 5000,
    seed: int = 0,
) -> DriftResult:
    """Test whether the joint distribution of numeric columns changed (maximum mean discrepancy).

    Columns are standardised by the reference; a Gaussian kernel with the median distance as width is approximated by
    random Fourier features, so that the statistic is the squared distance of two mean vectors. It is calibrated by
    permuting blocks of `block` neighbouring rows between the two samples: valid for any distribution when the blocks
    are exchangeable. Large samples are thinned to `max_rows` whole blocks, so that n alone cannot make a tiny change
    significant; changes below `min_effect` are no drift. Null false-alarm rate: alpha by construction (simulated: 10 of 200).

    Parameters
    ----------
    reference, current
        Numeric columns, shape (n,) and (m,); rows with a missing value in any shared column are left out.
    alpha
        Level.
    min_effect
        Squared discrepancy (0 to 2) that counts as nothing.
    block
        Neighbouring rows moved together: 1 for independent rows, at least a week of rows for a series.
    permutations
        Relabellings; the p-value is at least 1 / (permutations + 1).
    max_rows
        Rows used per side.
    seed
        Of features, thinning and permutations.

    Returns
    -------
    DriftResult
        Of the column ``"(joint)"``. Not enough data below ten blocks on either side.

    References
    ----------
    Gretton et al.: A kernel two-sample test, JMLR 13 (2012) 723-773.
    Rahimi, Recht: Random features for large-scale kernel machines, NIPS 2007.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=400)
    >>> together = {"a": x, "b": x + 0.3 * rng.normal(size=400)}
    >>> apart = {"a": x, "b": rng.permutation(together["b"])}
    >>> str(kernel_drift(together, apart).verdict)
    'drift'
    """
    rng = np.random.default_rng(seed)
    names = [name for name in reference if name in current]
    ref, cur = _matrix(reference, names), _matrix(current, names)
    if not names or min(len(ref), len(cur)) < _MIN_BLOCKS * block:
        return undecided(
            "(joint)",
            "multivariate",
            n_reference=len(ref),
            n_current=len(cur),
            n_needed=_MIN_BLOCKS * block,
            note=f"fewer than {_MIN_BLOCKS} blocks of {block} complete rows",
        )
    sums = [_block_means(side, block, max_rows, rng) for side in _standardised(ref, cur)]
    features = _features(np.concatenate([s.reshape(-1, s.shape[2]) for s in sums]), rng)
    split = sums[0].shape[0] * block
    blocks = features.reshape(-1, block, features.shape[1]).mean(axis=1)
    n_ref = split // block
    observed, permuted = _discrepancies(blocks, n_ref, permutations, rng)
    p = (1 + int(np.count_nonzero(permuted >= observed))) / (permutations + 1)
    effect = max(0.0, observed - float(permuted.mean()))
    verdict = Drift.DRIFT if p <= alpha and effect > min_effect else Drift.OK
    critical = float(np.quantile(permuted, 1 - alpha))
    return DriftResult(
        column="(joint)",
        test="multivariate",
        verdict=verdict,
        statistic=observed,
        effect=effect,
        effect_low=max(0.0, observed - critical),
        effect_high=effect + critical,
        effect_unit="squared discrepancy",
        min_effect=min_effect,
        p_value=p,
        p_adjusted=p,
        n_reference=len(ref),
        n_current=len(cur),
        n_needed=_MIN_BLOCKS * block,
        note=f"{len(names)} columns together",
    )


def _matrix(columns: Mapping[str, FloatArray], names: list[str]) -> FloatArray:
    if not names:
        return np.empty((0, 0))
    rows = np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=1)
    return rows[np.isfinite(rows).all(axis=1)]


def _standardised(ref: FloatArray, cur: FloatArray) -> tuple[FloatArray, FloatArray]:
    centre, spread = ref.mean(axis=0), ref.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    # Beyond eight deviations one outlier would set the kernel's width for all.
    first, second = (np.clip((side - centre) / spread, -8.0, 8.0) for side in (ref, cur))
    return first, second


def _block_means(side: FloatArray, block: int, max_rows: int, rng: np.random.Generator) -> FloatArray:
    """Whole blocks, shape (b, block, c); evenly thinned at random to at most `max_rows` rows."""
    count = len(side) // block
    cut = side[: count * block].reshape(count, block, side.shape[1])
    most = max(_MIN_BLOCKS, max_rows // block)
    return cut if count <= most else cut[np.sort(rng.choice(count, most, replace=False))]


def _features(rows: FloatArray, rng: np.random.Generator) -> FloatArray:
    pairs = rng.integers(0, len(rows), size=(2, min(2000, len(rows))))
    distance = np.sqrt(np.sum((rows[pairs[0]] - rows[pairs[1]]) ** 2, axis=1))
    width = float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    weights = rng.normal(0.0, 1.0 / width, size=(rows.shape[1], _FEATURES))
    angle = rows @ weights
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / math.sqrt(_FEATURES)


def _discrepancies(
    blocks: FloatArray, n_ref: int, permutations: int, rng: np.random.Generator
) -> tuple[float, FloatArray]:
    total, n = blocks.sum(axis=0), len(blocks)
    labels = np.zeros((permutations + 1, n))
    labels[0, :n_ref] = 1.0
    for row in labels[1:]:
        row[rng.permutation(n)[:n_ref]] = 1.0
    inside = labels @ blocks
    gap = inside / n_ref - (total - inside) / (n - n_ref)
    squared = np.sum(gap * gap, axis=1)
    return float(squared[0]), np.asarray(squared[1:], dtype=np.float64)
