"""References and monitors as JSON, so that a version and a scheduled job can carry them."""

from __future__ import annotations

import base64
import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from aihub.validation.drift.cusum import Cusum
from aihub.validation.drift.evidence import EProcess
from aihub.validation.drift.monitor import SeriesMonitor
from aihub.validation.drift.seasonal import SeasonalModel
from aihub.validation.drift.series import SeriesReference
from aihub.validation.drift.spread import LocalSpread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aihub.types import FloatArray

VERSION = 1


def reference_to_dict(reference: SeriesReference) -> dict[str, Any]:
    """Form of a reference for JSON."""
    season = reference.season
    plain = ("column", "scale", "step_s", "look_s", "fit_variance", "rows", "time_zone", "constant", "years")
    return {
        "version": VERSION,
        **{name: getattr(reference, name) for name in plain},
        "covariates": list(reference.covariates),
        # Residuals need three digits, the season all of them.
        "level": _packed(reference.level, "<f2"),
        "square": _packed(reference.square, "<f2"),
        "spread": [reference.spread.knots.tolist(), reference.spread.log_ratio.tolist()],
        "season": {
            "cell_s": season.cell_s,
            "has_year": season.has_year,
            **{name: _packed(getattr(season, name), "<f8") for name in ("level", "offset", "slope", "knots")},
        },
    }


def reference_from_dict(form: Mapping[str, Any]) -> SeriesReference:
    """Read what `reference_to_dict` wrote.

    Raises
    ------
    ValueError
        Of another version, or a field is missing or broken.
    """
    _check_version(form, "drift reference")
    try:
        season = form["season"]
        arrays = {name: _unpacked(season[name]) for name in ("level", "offset", "slope", "knots")}
        names = {f.name for f in fields(SeriesReference)} - {
            "season",
            "level",
            "square",
            "covariates",
            "spread",
        }
        knots, log_ratio = form.get("spread", ((), ()))  # references written before it was kept have none
        return SeriesReference(
            **{name: form[name] for name in names},
            covariates=tuple(form["covariates"]),
            level=_unpacked(form["level"]),
            square=_unpacked(form["square"]),
            spread=LocalSpread(np.asarray(knots, dtype=np.float64), np.asarray(log_ratio, dtype=np.float64)),
            season=SeasonalModel(cell_s=float(season["cell_s"]), has_year=bool(season["has_year"]), **arrays),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the drift reference lacks a field or is broken ({error}); fit it again") from error


def monitor_to_dict(monitor: SeriesMonitor) -> dict[str, Any]:
    """Form of a monitor's state for JSON; infinite and undefined numbers become null."""
    form: dict[str, Any] = {
        k: _finite(v) for k, v in asdict(monitor).items() if k not in ("cusum", "evidence")
    }
    form["cusum"] = {k: [_finite(value) for value in v] for k, v in asdict(monitor.cusum).items()}
    form["evidence"] = asdict(monitor.evidence)
    return {"version": VERSION, **form}


def monitor_from_dict(form: Mapping[str, Any]) -> SeriesMonitor:
    """Read what `monitor_to_dict` wrote.

    Raises
    ------
    ValueError
        Of another version, or a field is missing.
    """
    _check_version(form, "drift monitor")
    try:
        state = {f.name: form[f.name] for f in fields(SeriesMonitor)}
        cusum = {name: tuple(values) for name, values in state.pop("cusum").items()}
        cusum["thresholds"] = tuple(math.inf if h is None else h for h in cusum["thresholds"])
        evidence = dict(state.pop("evidence"))
        evidence["log_wealth"] = tuple(tuple(row) for row in evidence["log_wealth"])
        state["seen_s"] = -math.inf if state["seen_s"] is None else state["seen_s"]
        state["alarm_shift"] = math.nan if state["alarm_shift"] is None else state["alarm_shift"]
        return SeriesMonitor(cusum=Cusum(**cusum), evidence=EProcess(**evidence), **state)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the drift monitor lacks a field or is broken ({error}); start it again") from error


def _check_version(form: Mapping[str, Any], what: str) -> None:
    if form.get("version") != VERSION:
        raise ValueError(
            f"a {what} of version {form.get('version')!r}, this program reads {VERSION}; build it again"
        )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _packed(values: FloatArray, dtype: str) -> dict[str, Any]:
    data = np.ascontiguousarray(values, dtype=dtype)
    return {
        "dtype": dtype,
        "shape": list(data.shape),
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }


def _unpacked(form: Mapping[str, Any]) -> FloatArray:
    if form["dtype"] not in ("<f2", "<f8"):
        raise ValueError(f"an array of type {form['dtype']!r} in a drift reference; fit it again")
    data = np.frombuffer(base64.b64decode(form["data"]), dtype=form["dtype"])
    return data.reshape(form["shape"]).astype(np.float64)
