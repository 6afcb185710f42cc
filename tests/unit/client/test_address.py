from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aihub.client import Client
from aihub.client.address import find, is_configured
from aihub.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "hub_0123456789abcdef_" + "s" * 43


def test_without_anything_it_is_this_machine_and_no_key() -> None:
    found = find(environ={})
    assert (found.url, found.key, found.tenant) == ("http://localhost:8000", "", "")
    assert not is_configured({})


def test_environment_is_read_and_arguments_win(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    environ = {
        "AIHUB_URL": "https://hub.example.com/ai/",
        "AIHUB_API_KEY_FILE": str(tmp_path / "key"),
        "AIHUB_TENANT": "grid",
    }
    found = find(environ=environ)
    assert (found.url, found.key, found.tenant) == ("https://hub.example.com/ai", KEY, "grid")
    assert is_configured(environ)
    mine = find("http://127.0.0.1:1", "mine", "", environ=environ)
    assert (mine.url, mine.key, mine.tenant) == ("http://127.0.0.1:1", "mine", "")
    assert find(environ={**environ, "AIHUB_API_KEY": "direct"}).key == "direct"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.8.8.8", "hub.localhost"])
def test_key_may_go_over_plain_http_to_this_machine(host: str) -> None:
    assert find(f"http://{host}:8000", KEY, environ={}).is_local


@pytest.mark.parametrize(
    "host", ["hub.example.com", "10.0.0.7", "127.0.0.1.example.com", "localhost.example.com"]
)
def test_key_goes_over_plain_http_to_no_other_machine_unless_told(host: str) -> None:
    with pytest.raises(ConfigError, match="AIHUB_ALLOW_HTTP=1") as refused:
        find(f"http://{host}", KEY, environ={})
    assert KEY not in str(refused.value)
    assert find(f"http://{host}", "", environ={}).key == ""
    assert find(f"http://{host}", KEY, environ={"AIHUB_ALLOW_HTTP": "1"}).key == KEY
    assert find(f"http://{host}", KEY, allow_http=True, environ={}).key == KEY
    assert find(f"https://{host}", KEY, environ={}).key == KEY


@pytest.mark.parametrize(
    "url",
    ["hub", "ftp://hub", "http://", "http://hub:port", "http://u:p@hub", "http://hub?x=1", "http://[hub"],
)
def test_what_is_no_url_of_a_hub_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="AIHUB_URL"):
        find(url, environ={})


@pytest.mark.parametrize("key", ["two words", "hub_ü", "hub_\x00"])
def test_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        find(None, key, environ={})
    assert key not in str(refused.value)


def test_missing_file_of_the_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        find(environ={"AIHUB_API_KEY_FILE": str(tmp_path / "nowhere")})


def test_key_is_in_no_representation() -> None:
    with Client("http://localhost:1", api_key=KEY) as client:
        shown = (
            f"{client!r} {vars(client)!r} {vars(client.jobs._connection)!r} {find(None, KEY, environ={})!r}"
        )
        assert KEY not in shown
        assert "s" * 43 not in repr(client.jobs._connection._http.headers)
