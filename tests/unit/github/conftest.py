from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stand_in import Issuer


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()
