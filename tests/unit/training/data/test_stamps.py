# ruff: noqa: DTZ001 - naive stamps are what is tested
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aihub.errors import DataError
from aihub.training.data.stamps import Stamps, parse_stamps


def _parse(*cells: object) -> Stamps:
    return parse_stamps(
        pl.Series("ts", cells, strict=False), pl.Series(range(1, len(cells) + 1)), label="a.csv"
    )


FORMATS = {
    "%Y-%m-%d %H:%M": False,
    "%Y-%m-%d %H:%M:%S": False,
    "%Y-%m-%dT%H:%M:%S": False,
    "%Y-%m-%dT%H:%M:%S.%f": False,
    "%Y/%m/%d %H:%M": False,
    "%d/%m/%Y %H:%M": False,
    "%m/%d/%Y %I:%M %p": False,
    "%d.%m.%Y %H:%M:%S": False,
    "%d-%b-%Y %H:%M": False,
    "%Y%m%d%H": False,
    "%Y%m%d%H%M": False,
    "%Y-%m-%dT%H:%M:%S+00:00": True,
    "%Y-%m-%dT%H:%M:%SZ": True,
    "%Y-%m-%d %H:%M:%S+0000": True,
    "%Y-%m-%d %H:%M UTC": True,
    "%Y-%m-%dT%H:%M+00": True,
}


@pytest.mark.parametrize(("form", "is_aware"), FORMATS.items())
def test_a_month_of_hours_is_read_in_every_format(form: str, *, is_aware: bool) -> None:
    moments = [datetime(2024, 1, 20) + timedelta(hours=i) for i in range(24 * 31)]
    parsed = _parse(*(moment.strftime(form) for moment in moments))
    assert parsed.is_aware is is_aware
    assert parsed.column.dt.replace_time_zone(None).to_list() == moments
    assert parsed.notes == ()


def test_a_fraction_may_stand_behind_a_comma() -> None:
    parsed = _parse("2024-01-01T00:00:00,000000", "2024-01-01T01:00:00,250")
    assert parsed.column.to_list() == [datetime(2024, 1, 1), datetime(2024, 1, 1, 1, 0, 0, 250_000)]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_unix_time_in_every_unit(unit: str, factor: int) -> None:
    parsed = _parse(1_700_000_000 * factor, 1_700_003_600 * factor)
    assert parsed.column.to_list() == [
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        datetime(2023, 11, 14, 23, 13, 20, tzinfo=UTC),
    ]
    assert f"unix time in {unit}" in parsed.notes[0].message


def test_offsets_of_two_seasons_become_utc() -> None:
    parsed = _parse("2015-11-22T00:00:00-06:00", "2015-07-22T00:00:00-05:00")
    assert parsed.column.to_list() == [
        datetime(2015, 11, 22, 6, tzinfo=UTC),
        datetime(2015, 7, 22, 5, tzinfo=UTC),
    ]


def test_day_or_month_first_is_told_by_one_cell_or_by_even_steps() -> None:
    assert _parse("01/02/2018", "13/02/2018").column[0] == datetime(2018, 2, 1)
    assert _parse("01/02/2018", "01/13/2018").column[0] == datetime(2018, 1, 2)
    assert _parse("01/02/2018", "02/02/2018", "03/02/2018").column[2] == datetime(2018, 2, 3)
    assert _parse("01/02/2018", "01/03/2018", "01/04/2018").column[2] == datetime(2018, 1, 4)
    assert _parse("05/05/2018", "06/06/2018").column[0] == datetime(2018, 5, 5)


def test_twenty_four_hundred_is_the_next_midnight() -> None:
    parsed = _parse("2024-01-31 23:00", "2024-01-31 24:00")
    assert parsed.column[1] == datetime(2024, 2, 1)
    assert parsed.notes[0].code == "hour_24"
    assert parsed.notes[0].first_row == 2


def test_a_few_unreadable_cells_are_left_out_with_a_note() -> None:
    cells: list[object] = [f"2024-01-01 {h:02d}:{m:02d}" for h in range(24) for m in range(0, 60, 10)]
    cells[7] = "oops"
    parsed = _parse(*cells)
    assert parsed.column.null_count() == 1
    assert (parsed.notes[0].code, parsed.notes[0].rows, parsed.notes[0].first_row) == (
        "unreadable_stamp",
        1,
        8,
    )
    assert "'oops' (row 8)" in parsed.notes[0].message


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["01/02/2018 10:00"], "row 1.*day or month first"),
        (["2024-01-01T00:00:00Z", "2024-01-01T01:00:00"], "row 2.*some stamps carry an offset"),
        (["monday", "tuesday"], "row 1.*no time stamps"),
        (["2024-01-01 10:00 CET", "2024-01-01 11:00 CET"], "no time stamps"),
        (["2023-02-29 10:00", "2023-03-01 10:00"], "row 1.*no time stamps"),
        ([0, 1, 2, 3], "row numbers"),
        ([None, None], "holds Null"),
        (["", "NA"], "no time stamps"),
        ([True, False], "Boolean"),
        (["0001-01-01 00:00", "0001-01-01 01:00"], "no time stamps"),
    ],
)
def test_what_cannot_be_told_is_refused(cells: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _parse(*cells)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=30))
def test_iso_stamps_are_read_back_exactly(moments: list[datetime]) -> None:
    assert _parse(*(moment.isoformat(" ", "microseconds") for moment in moments)).column.to_list() == moments


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_text_is_read_or_refused(cells: list[str]) -> None:
    try:
        parsed = _parse(*cells)
    except DataError as error:
        assert error.exit_code == 2  # noqa: PT017 - a table is as good an answer
    else:
        assert len(parsed.column) == len(cells)


@pytest.mark.parametrize("first", [45_000, 45_000.5])
def test_days_as_excel_counts_them_are_not_taken_for_seconds(first: float) -> None:
    with pytest.raises(DataError, match="Excel"):
        _parse(*(first + i / 24 for i in range(48)))


def test_seconds_since_the_start_of_a_run_stay_unix_time() -> None:
    assert _parse(0, 3600, 7200).column[1] == datetime(1970, 1, 1, 1, tzinfo=UTC)
