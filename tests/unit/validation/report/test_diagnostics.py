from __future__ import annotations

import json

import numpy as np
import pytest

from aihub.validation.report.diagnostics import error_plots

N = 24 * 40
STAMPS = np.datetime64("2025-01-01", "us") + np.arange(N) * np.timedelta64(1, "h")


def test_hours_are_local() -> None:
    y_true = np.zeros(N)
    y_pred = np.where(np.arange(N) % 24 == 8, 5.0, 0.0)  # 08:00 UTC is 19:00 in Melbourne's summer
    drawn = error_plots(y_true, y_pred, timestamps=STAMPS, time_zone="Australia/Melbourne")
    values = drawn["residuals_by_hour"]["values"]
    assert values[19] == 5.0
    assert sum(values) == 5.0


def test_rows_out_of_order_are_drawn_in_time() -> None:
    shuffled = np.random.default_rng(0).permutation(N)
    y = np.arange(N, dtype=float)
    a = error_plots(y, y + 1, timestamps=STAMPS)
    b = error_plots(y[shuffled], y[shuffled] + 1, timestamps=STAMPS[shuffled])
    assert a == b
    assert a["residuals"]["lines"]["residual"][0] == 1.0
    assert list(a) == ["predictions_recent", "predictions", "residuals", "residuals_by_hour"]


def test_the_longest_of_several_series_is_drawn_and_named() -> None:
    series = np.array(["a"] * (N // 4) + ["b"] * (N - N // 4))
    y = np.where(series == "a", 1.0, 2.0)
    drawn = error_plots(y, y, timestamps=STAMPS, series=series, interval=(y - 1, y + 1, 0.9))
    assert set(drawn["predictions"]["lines"]["actual"]) == {2.0}
    assert "Series b" in drawn["predictions"]["note"]
    assert drawn["predictions"]["band"]["name"] == "90% interval"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_missing_rows_never_fail(n: int) -> None:
    y = np.full(n, np.nan)
    json.dumps(error_plots(y, y, timestamps=STAMPS[:n]), allow_nan=False)
    json.dumps(error_plots(y, y), allow_nan=False)


def test_unknown_times_and_ids_of_mixed_types_are_drawn_as_far_as_they_go() -> None:
    y = np.arange(6.0)
    nowhere = np.full(6, "NaT", dtype="datetime64[us]")
    assert list(error_plots(y, y, timestamps=nowhere)) == ["calibration"]
    some = STAMPS[:6].copy()
    some[[0, 5]] = np.datetime64("NaT")
    series = np.array([1, "a", 1, 1, None, "a"], dtype=object)
    drawn = error_plots(y, y + 1, timestamps=some, series=series)
    assert drawn["residuals"]["lines"]["residual"] == [1.0, 1.0]
    json.dumps(drawn, allow_nan=False)
