from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from github_side import GitHubApi, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def api() -> Iterator[GitHubApi]:
    one = GitHubApi()
    yield one
    one.close()
