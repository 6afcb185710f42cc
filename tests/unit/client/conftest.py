from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripted_hub import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripted_hub import StandIn


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with serving() as state:
        yield state
