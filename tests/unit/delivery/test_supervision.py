from __future__ import annotations

import pytest

from aihub.delivery.supervision import ChildError, _failure
from aihub.errors import AIHubError, UnavailableError


@pytest.mark.parametrize(
    ("code", "expected"),
    [("unavailable", UnavailableError), ("bad_data", ChildError), ("child_died", ChildError)],
)
def test_only_what_a_later_try_may_help_is_tried_again(code: str, expected: type[AIHubError]) -> None:
    failure = _failure(code=code, message="no room")
    assert type(failure) is expected
    assert (failure.code, str(failure)) == (code, "no room")
