"""Plot data for `CheckResult.plots`: small, JSON-able mappings that the HTML report draws as SVG.

========== ============================================================================================
kind       keys besides ``kind``
========== ============================================================================================
series     ``x`` [ISO 8601 text or number], ``lines`` {name: [y]}, ``band`` {name, lower, upper} or None,
           ``zero`` whether the y axis shows zero
bars       ``labels`` [text], ``values`` [y], ``lower`` and ``upper`` [y] or None, ``reference`` y or None
histogram  ``edges`` [k + 1], ``reference`` and ``current`` [k] shares of each bin
categories ``labels`` [text], ``reference`` and ``current`` [share]
interval   ``rows`` [{label, estimate, lower, upper}], ``reference`` the value of no difference or None,
           ``limit`` or None
scatter    ``x``, ``y`` [number], ``diagonal`` whether to draw x = y
========== ============================================================================================

Any of them may have ``title``, ``note`` (a sentence under the figure), ``x_label``, ``y_label`` and ``unit``. A missing
value is None (a gap). Numbers keep six significant digits: a figure is 1,000 pixels wide.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

MAX_POINTS = 600
"""Points of a line after thinning: about one per two pixels."""

MAX_BINS = 40
MAX_CATEGORIES = 20
MAX_SCATTER = 500
_FAR = 1e300
_SAME = 1e-9
"""Edges closer than this share of their size, or of a bar, are one edge: the rest is rounding."""


def series(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    *,
    band: tuple[str, ArrayLike, ArrayLike] | None = None,
    zero: bool = False,
    **labels: str,
) -> dict[str, Any]:
    """Return lines over time or over any other ordered axis, thinned so that every peak stays visible.

    Parameters
    ----------
    x
        Shape (n,); ``datetime64`` (UTC) or numbers, ascending.
    lines
        Name to values of shape (n,); NaN and infinity become gaps.
    band
        Name, lower and upper bound, shape (n,) each.
    zero
        Whether the y axis must show zero, as residuals need it.
    **labels
        ``title``, ``note``, ``x_label``, ``y_label``, ``unit``.

    Examples
    --------
    >>> series([1, 2], {"residual": [0.5, float("nan")]}, zero=True)["lines"]
    {'residual': [0.5, None]}
    """
    axis = np.asarray(x)
    drawn = {name: _floats(values) for name, values in lines.items()}
    kept = _thinned(list(drawn.values()), len(axis))
    band_data = None
    if band is not None:
        name, lower, upper = band
        band_data = {
            "name": name,
            "lower": _rounded(_floats(lower)[kept]),
            "upper": _rounded(_floats(upper)[kept]),
        }
    return {
        "kind": "series",
        "x": _axis(axis[kept]),
        "lines": {name: _rounded(values[kept]) for name, values in drawn.items()},
        "band": band_data,
        "zero": zero,
        **labels,
    }


def bars(
    labels: Iterable[object],
    values: ArrayLike,
    *,
    spread: tuple[ArrayLike, ArrayLike] | None = None,
    reference: float | None = None,
    **texts: str,
) -> dict[str, Any]:
    """Return one bar per label, with whiskers from lower to upper where `spread` is given.

    >>> bars(["00", "01"], [1.0, 2.0], reference=1.5)["values"]
    [1.0, 2.0]
    """
    lower, upper = (None, None) if spread is None else (_rounded(_floats(s)) for s in spread)
    return {
        "kind": "bars",
        "labels": [str(label) for label in labels],
        "values": _rounded(_floats(values)),
        "lower": lower,
        "upper": upper,
        "reference": reference,
        **texts,
    }


def histogram(edges: ArrayLike, reference: ArrayLike, current: ArrayLike, **labels: str) -> dict[str, Any]:
    """Return two distributions over the same bins, as shares over bins of equal width.

    Parameters
    ----------
    edges
        Shape (k + 1,), ascending; the outer ones may be infinite (underflow and overflow), neighbours may be equal.
    reference, current
        Counts or shares per bin, shape (k,).

    Notes
    -----
    Bins of unequal width (quantiles) are spread evenly over at most `MAX_BINS` equal ones, so that the height of a
    bar can be read as density. What lies in an infinite bin is added to the outermost bar.

    Examples
    --------
    >>> histogram([0, 1, 2], [1, 3], [2, 2])["reference"]
    [0.25, 0.75]
    """
    bounds = _finite_edges(_floats(edges))
    shares = [_shares(_floats(counts)) for counts in (reference, current)]
    even = (
        np.linspace(bounds[0], bounds[-1], min(len(bounds) - 1, MAX_BINS) + 1) if len(bounds) > 1 else bounds
    )
    if len(even) != len(bounds) or not np.allclose(even, bounds, rtol=1e-6, atol=0):
        shares = [_spread(bounds, share, even) for share in shares]
    return {
        "kind": "histogram",
        "edges": _rounded(even),
        "reference": _rounded(shares[0]),
        "current": _rounded(shares[1]),
        **labels,
    }


def histogram_of(
    reference: ArrayLike, current: ArrayLike, *, bins: int = MAX_BINS, **labels: str
) -> dict[str, Any]:
    """Return the distributions of two samples; the outermost 0.5 % of both together fall into the end bins.

    Parameters
    ----------
    reference, current
        Shape (n,) and (m,); NaN and infinity are left out.
    """
    samples = [values[np.isfinite(values)] for values in (_floats(reference), _floats(current))]
    both = np.concatenate(samples)
    if both.size == 0:
        return histogram([0.0, 1.0], [0.0], [0.0], **labels)
    low, high = np.quantile(both, [0.005, 0.995])
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(np.clip(values, low, high), edges)[0] for values in samples]
    return histogram(edges, counts[0], counts[1], **labels)


def categories(
    labels: Iterable[object], reference: ArrayLike, current: ArrayLike, **texts: str
) -> dict[str, Any]:
    """Return the shares of categories in two samples, largest first; all beyond the twentieth are one ``(other)``.

    >>> categories(["b", "a"], [1, 3], [2, 2])["labels"]
    ['a', 'b']
    """
    names = [str(label) for label in labels]
    before, now = _shares(_floats(reference)), _shares(_floats(current))
    order = np.argsort(-np.maximum(before, now), kind="stable")
    top, rest = order[:MAX_CATEGORIES], order[MAX_CATEGORIES:]
    shown = [names[i] for i in top] + (["(other)"] if rest.size else [])
    columns = [
        _rounded(np.append(share[top], share[rest].sum()) if rest.size else share[top])
        for share in (before, now)
    ]
    return {"kind": "categories", "labels": shown, "reference": columns[0], "current": columns[1], **texts}


def intervals(
    rows: Sequence[Mapping[str, Any]],
    *,
    reference: float | None = None,
    limit: float | None = None,
    **labels: str,
) -> dict[str, Any]:
    """Return estimates with their intervals, one row each.

    >>> intervals([{"label": "MAE ratio", "estimate": 0.93, "lower": 0.9, "upper": 0.97}], reference=1.0)["kind"]
    'interval'
    """
    drawn = [
        {"label": str(row["label"]), **{key: _round(row.get(key)) for key in ("estimate", "lower", "upper")}}
        for row in rows
    ]
    return {"kind": "interval", "rows": drawn, "reference": reference, "limit": limit, **labels}


def scatter(x: ArrayLike, y: ArrayLike, *, diagonal: bool = False, **labels: str) -> dict[str, Any]:
    """Return points; of more than `MAX_SCATTER` every k-th in the order of x is kept."""
    across, up = _floats(x), _floats(y)
    keep = np.flatnonzero(np.isfinite(across) & np.isfinite(up))
    keep = keep[_ascending(across[keep])]
    if keep.size > MAX_SCATTER:
        keep = keep[np.linspace(0, keep.size - 1, MAX_SCATTER).astype(np.intp)]
    return {
        "kind": "scatter",
        "x": _rounded(across[keep]),
        "y": _rounded(up[keep]),
        "diagonal": diagonal,
        **labels,
    }


def _ascending(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Sort stably; the fast way is not, which only shows where two values are equal."""
    order = np.argsort(values)
    ordered = values[order]
    return np.argsort(values, kind="stable") if (ordered[1:] == ordered[:-1]).any() else order


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))


def _round(value: Any) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [_round(value) for value in values.tolist()]


def _axis(x: NDArray[Any]) -> list[Any]:
    if np.issubdtype(x.dtype, np.datetime64):
        return [None if text == "NaT" else f"{text}Z" for text in np.datetime_as_string(x, unit="m").tolist()]
    if np.issubdtype(x.dtype, np.number):
        return _rounded(x.astype(np.float64))
    return [str(value) for value in x.tolist()]


def _thinned(lines: list[NDArray[np.float64]], n: int) -> NDArray[np.intp]:
    """Return the rows to keep: the lowest and the highest of each line in each of equally long stretches."""
    if n <= MAX_POINTS or not lines:
        return np.arange(n)[:: max(1, n // MAX_POINTS)]
    buckets = max(MAX_POINTS // (2 * len(lines)) - 1, 1)
    starts = np.linspace(0, n, buckets + 1).astype(np.intp)
    kept: set[int] = {0, n - 1}
    for values in lines:
        low = np.where(np.isfinite(values), values, np.inf)
        high = np.where(np.isfinite(values), values, -np.inf)
        for start, end in pairwise(starts.tolist()):
            kept.update((start + int(low[start:end].argmin()), start + int(high[start:end].argmax())))
    return np.array(sorted(kept), dtype=np.intp)


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    clean = np.where(np.isfinite(counts) & (counts > 0), counts, 0.0)
    total = clean.sum()
    return clean / total if total > 0 else clean


def _finite_edges(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace infinite outer edges by their neighbour, so that an overflow bin becomes a bin without width."""
    known = np.clip(edges[np.isfinite(edges)], -_FAR, _FAR)
    if known.size == 0 or known[-1] - known[0] <= max(abs(known[0]), abs(known[-1])) * _SAME + 1 / _FAR:
        middle = known[0] if known.size else 0.0
        return np.linspace(middle - 0.5, middle + 0.5, len(edges))
    return np.clip(edges, known[0], known[-1])


def _spread(
    edges: NDArray[np.float64], shares: NDArray[np.float64], even: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shares over bins of equal width; inside a bin they are spread evenly, a bin without width is a point."""
    out = np.zeros(len(even) - 1)
    width = even[1] - even[0]
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        if share <= 0:
            continue
        overlap = np.minimum(even[1:], high) - np.maximum(even[:-1], low)
        if high - low > width * _SAME:
            out += share * np.clip(overlap, 0.0, None) / (high - low)
        else:
            out[min(int((low - even[0]) / width), len(out) - 1)] += share
    return out
