from __future__ import annotations

import pytest

from aihub.errors import StoppedError
from aihub.training.progress import Watch


def test_a_slice_of_a_slice_reports_the_share_of_the_whole_job() -> None:
    seen: list[tuple[str, float]] = []
    watch = Watch(lambda stage, done: seen.append((stage, done)), low=0.2, high=0.6)
    inner = watch.part("second half", 0.5, 1.0)
    for done in (0.0, 0.5, 1.0):
        inner(done)
    assert [stage for stage, _ in seen] == ["second half"] * 3
    assert [share for _, share in seen] == pytest.approx([0.4, 0.5, 0.6])


@pytest.mark.parametrize(("done", "share"), [(-3.0, 0.25), (7.0, 0.75)])
def test_a_share_outside_of_the_slice_stays_in_it(done: float, share: float) -> None:
    seen: list[float] = []
    Watch(lambda _, value: seen.append(value), low=0.25, high=0.75)(done)
    assert seen == [share]


def test_a_stop_comes_before_the_report_and_reaches_every_slice() -> None:
    seen: list[float] = []
    watch = Watch(lambda _, done: seen.append(done), should_stop=lambda: True)
    with pytest.raises(StoppedError, match="fitting was stopped on request"):
        watch.part("fitting", 0.0, 0.5).part("fitting", 0.0, 0.5)(1.0)
    assert seen == []


def test_nobody_has_to_listen() -> None:
    Watch()(0.5)
    Watch(should_stop=lambda: False)(0.5)
