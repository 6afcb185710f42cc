from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aihub.errors import ConfigError, ForbiddenError
from aihub.exposure import check_exposure, is_loopback, refuse_cross_site
from aihub.settings import Settings
from aihub.types import Role

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_this_machine_alone(host: str, tmp_path: Path) -> None:
    assert is_loopback(host)
    check_exposure(Settings(home=tmp_path, anonymous_role=Role.ADMIN), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "localhost.example.org"])  # noqa: S104
def test_addresses_that_others_reach_let_nobody_in_without_a_credential(host: str, tmp_path: Path) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match=r"bind to 127\.0\.0\.1"):
        check_exposure(Settings(home=tmp_path, anonymous_role=Role.VIEWER), host)
    check_exposure(Settings(home=tmp_path), host)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8001"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_do_not_ride_on_an_open_hub(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError, match="another site"):
        refuse_cross_site(headers, "127.0.0.1:8000")


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "none"}, {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}],
)
def test_curl_and_the_own_pages_may_ask(headers: dict[str, str]) -> None:
    refuse_cross_site(headers, "127.0.0.1:8000")
