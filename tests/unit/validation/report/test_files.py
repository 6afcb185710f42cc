from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from aihub.errors import InputError
from aihub.validation.report import FORMS, write_reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aihub.validation.results import ValidationReport


def test_every_form_is_written_whole(failed_report: ValidationReport, tmp_path: Path) -> None:
    written = write_reports(failed_report, tmp_path / "a" / "b")
    assert set(written) == set(FORMS) == {path.name for path in (tmp_path / "a" / "b").iterdir()}
    for name, path in written.items():
        assert path.read_text(encoding="utf-8") == FORMS[name](failed_report)


def test_an_earlier_report_is_replaced(failed_report: ValidationReport, tmp_path: Path) -> None:
    write_reports({"passed": True, "failures": [], "checks": {}}, tmp_path)
    assert "PASSED" in (tmp_path / "report.txt").read_text(encoding="utf-8")
    write_reports(failed_report, tmp_path)
    assert "FAILED" in (tmp_path / "report.txt").read_text(encoding="utf-8")


def test_two_that_write_into_one_folder_at_once_do_not_get_in_each_others_way(
    failed_report: ValidationReport, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        for written in pool.map(lambda _: write_reports(failed_report, tmp_path), range(40)):
            assert set(written) == set(FORMS)
    assert {path.name for path in tmp_path.iterdir()} == set(FORMS)


def test_any_name_can_be_written(
    hostile: str, named_report: Callable[[str], ValidationReport], tmp_path: Path
) -> None:
    for path in write_reports(named_report(hostile), tmp_path).values():
        assert path.read_bytes().decode("utf-8")


def test_a_folder_that_is_a_file_is_named(failed_report: ValidationReport, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write_reports(failed_report, tmp_path / "f")
