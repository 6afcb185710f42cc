"""A receiver for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receivers import Receiver, listening

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver
