"""Made-up hourly load with weather, close enough to the real thing that a good model passes and a naive one does not."""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import numpy as np

from aihub.errors import ConfigError
from aihub.types import ModelType

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from aihub.types import FloatArray

START = datetime(2024, 1, 1)  # noqa: DTZ001 - wall clock without a zone, as in the guide
LABEL = "is_anomaly"
MAX_SAMPLES = 10_000_000
_DAY_H, _YEAR_H = 24, 8766
_HOLIDAYS = ((1, 1), (1, 6), (5, 1), (8, 15), (10, 3), (11, 1), (12, 24), (12, 25), (12, 26), (12, 31))
_WORKDAY = np.array(
    [-150, -175, -185, -185, -170, -120, -20, 80, 130, 145, 145, 140, 130, 120, 110, 100, 105, 130, 160, 150, 95, 30, -45, -105]
)  # fmt: skip
_FREE_DAY = np.array(
    [-160, -185, -200, -205, -205, -195, -170, -125, -75, -35, -10, 0, 5, -10, -25, -30, -15, 30, 75, 70, 30, -15, -70, -120]
)  # fmt: skip
_ANOMALY_SHARE = 0.03


def generate(
    model_type: ModelType | str, samples: int, *, seed: int = 42, start: datetime = START
) -> pl.DataFrame:
    """Return `samples` hourly rows for a model of this type; same seed and as many samples, same rows.

    With another number of samples all rows are others: take the head of one long table where they must not be.

    Raises
    ------
    ConfigError
        The number of samples is not between 1 and ten million.
    """
    if ModelType(model_type) is ModelType.ANOMALY:
        return generate_anomaly_data(samples, seed=seed, start=start)
    return generate_forecast_data(samples, seed=seed, start=start)


def generate_forecast_data(samples: int, *, seed: int = 42, start: datetime = START) -> pl.DataFrame:
    """Return hourly load that follows the clock, the calendar and the weather of the last days.

    Parameters
    ----------
    samples
        Rows, one an hour.
    seed
        Of the weather and the noise.
    start
        Stamp of the first row, wall clock without summer time.

    Returns
    -------
    DataFrame
        ``timestamp``, ``temperature`` (degC), ``humidity`` (%), ``load`` (kW, about 1000).

    Raises
    ------
    ConfigError
        The number of samples is not between 1 and ten million.

    Examples
    --------
    >>> generate_forecast_data(3, seed=1).columns
    ['timestamp', 'temperature', 'humidity', 'load']
    """
    import polars as pl  # noqa: PLC0415 - 0.1 s that the command line must not pay

    if not 1 <= samples <= MAX_SAMPLES:
        raise ConfigError(f"samples is {samples}. Ask for 1 to {MAX_SAMPLES}.", field="samples")
    rng = np.random.default_rng(seed)
    hours = np.arange(samples)
    stamps = np.datetime64(start, "us") + hours.astype("timedelta64[h]")
    temperature = _temperature(rng, hours + start.timetuple().tm_yday * _DAY_H)
    humidity = np.clip(62 - 1.1 * (temperature - 10) + _red_noise(rng, samples, 0.93, 7.0), 12, 100)
    load = _load(rng, stamps, temperature)
    return pl.DataFrame(
        {
            "timestamp": stamps,
            "temperature": temperature.round(2),
            "humidity": humidity.round(1),
            "load": load.round(2),
        }
    )


def generate_anomaly_data(samples: int, *, seed: int = 42, start: datetime = START) -> pl.DataFrame:
    """Return the same load with about 3 % of the rows disturbed, and a 0/1 column ``is_anomaly`` that tells which.

    The disturbances are spikes (an hour, half or several times the load), flat lines (4 to 24 hours of one value) and
    level shifts (6 to 48 hours a third higher or lower).

    Raises
    ------
    ConfigError
        The number of samples is not between 1 and ten million.
    """
    import polars as pl  # noqa: PLC0415 - as above

    frame = generate_forecast_data(samples, seed=seed, start=start)
    rng = np.random.default_rng([seed, 1])
    load = frame.get_column("load").to_numpy().copy()
    label = np.zeros(samples, dtype=np.int64)
    wanted = round(_ANOMALY_SHARE * samples)
    for _ in range(10 * wanted):
        if label.sum() >= wanted:
            break
        kind = rng.choice(("spike", "flat", "shift"), p=(0.7, 0.15, 0.15))
        length = {"spike": 1, "flat": int(rng.integers(4, 25)), "shift": int(rng.integers(6, 49))}[str(kind)]
        first = int(rng.integers(1, max(2, samples - length)))
        rows = slice(first, first + length)
        # A clean hour on both sides keeps two disturbances apart, so that each is one event.
        if label[max(0, first - 1) : first + length + 1].any() or first + length > samples:
            continue
        load[rows] = _disturbed(rng, str(kind), load, rows)
        label[rows] = 1
    return frame.with_columns(pl.Series("load", load.round(2)), pl.Series(LABEL, label))


def _disturbed(rng: np.random.Generator, kind: str, load: FloatArray, rows: slice) -> FloatArray:
    if kind == "flat":
        return np.full(rows.stop - rows.start, load[rows.start - 1])
    if kind == "spike":
        factor = rng.uniform(1.6, 3.0) if rng.random() < 0.6 else rng.uniform(0.1, 0.5)  # noqa: PLR2004 - more up than down
    else:
        factor = 1 + rng.choice((-1, 1)) * rng.uniform(0.3, 0.45)
    return np.asarray(load[rows] * factor)


def _temperature(rng: np.random.Generator, hour_of_year: NDArray[np.int64]) -> FloatArray:
    year = -9.5 * np.cos(2 * np.pi * (hour_of_year - 20 * _DAY_H) / _YEAR_H)
    day = -3.5 * np.cos(2 * np.pi * (hour_of_year % _DAY_H - 3) / _DAY_H)
    return np.asarray(11 + year + day + _red_noise(rng, len(hour_of_year), 0.985, 3.2))


def _load(rng: np.random.Generator, stamps: NDArray[np.datetime64], temperature: FloatArray) -> FloatArray:
    hour = (stamps.astype("datetime64[h]") - stamps.astype("datetime64[D]")).astype(int)
    weekday = (stamps.astype("datetime64[D]").astype(int) + 3) % 7
    month = stamps.astype("datetime64[M]").astype(int) % 12 + 1
    day = (stamps.astype("datetime64[D]") - stamps.astype("datetime64[M]")).astype(int) + 1
    is_holiday = np.isin(month * 100 + day, [m * 100 + d for m, d in _HOLIDAYS])
    is_free = (weekday >= 5) | is_holiday  # noqa: PLR2004 - Saturday and Sunday
    shape = np.where(is_free, _FREE_DAY[hour] - 60, _WORKDAY[hour])
    shape = shape - 25 * (weekday == 4) * (hour >= 15)  # noqa: PLR2004 - Friday afternoon
    # Buildings answer to the weather of the last day, not of the hour.
    felt = _smoothed(temperature, 1 - 1 / 18)
    weather = 14.0 * np.maximum(15 - felt, 0) + 18.0 * np.maximum(felt - 21, 0)
    noise = _red_noise(rng, len(stamps), 0.85, 20.0)
    return np.asarray(np.maximum(930 + shape + weather + noise, 50.0))


def _smoothed(values: FloatArray, keep: float) -> FloatArray:
    """Exponential smoothing that begins at the first value."""
    return _recursion((1 - keep) * values, keep, values[0])


def _red_noise(rng: np.random.Generator, n: int, keep: float, deviation: float) -> FloatArray:
    """First-order autoregressive noise with the given correlation to the hour before and standard deviation."""
    white = rng.normal(0, deviation * np.sqrt(1 - keep**2), n)
    return _recursion(white, keep, float(rng.normal(0, deviation)))


def _recursion(added: FloatArray, keep: float, start: float) -> FloatArray:
    """``y[i] = keep * y[i - 1] + added[i]``; a loop, as a filter library costs a second to import."""
    return np.fromiter(
        islice(accumulate(added.tolist(), lambda y, x: keep * y + x, initial=start), 1, None), np.float64
    )
