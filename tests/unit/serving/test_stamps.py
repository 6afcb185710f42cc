"""Times of requests at the ends of what can be written."""

from __future__ import annotations

import numpy as np
import pytest

from aihub.errors import DataError
from aihub.serving.stamps import micros

GOOD = "2025-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "far",
    [
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59",
        "9999-12-31T23:59:59-12:00",
        "9999-12-31T23:59:59Z",
        "1677-12-31T23:59:59Z",
        "2262-01-01T00:00:00Z",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize("series", [None, ["a", "b"]])
def test_a_year_that_no_table_counts_is_refused_with_its_row(
    far: str, zone: str, series: list[str] | None
) -> None:
    for refuse_skipped in (False, True):
        with pytest.raises(DataError, match="correct the year") as caught:
            micros([GOOD, far], zone, column="when", series=series, refuse_skipped=refuse_skipped)
        assert (caught.value.column, caught.value.row) == ("when", 2)


def test_times_of_a_table_are_looked_at_too() -> None:
    table = np.array([GOOD[:-1], "1500-01-01T00:00:00"], "datetime64[us]")
    with pytest.raises(DataError, match="correct the year") as caught:
        micros(table, "UTC", column="when")
    assert caught.value.row == 2
    assert micros(table[:1], "UTC", column="when").tolist() == micros([GOOD], "UTC", column="when").tolist()
    with pytest.raises(DataError, match="correct the year"):
        micros(np.array(["NaT"], "datetime64[us]"), "UTC", column="when")
