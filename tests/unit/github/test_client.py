from __future__ import annotations

import time
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from aihub.errors import (
    AIHubError,
    ConfigError,
    ForbiddenError,
    NotFoundError,
    TooManyError,
    UnavailableError,
)
from aihub.github.client import FIRST_WAIT_S, LONGEST_WAIT_S, GitHubClient

if TYPE_CHECKING:
    from pathlib import Path

    from github_side import GitHubApi, Issuer


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (429, {"retry-after": "7"}, 7),
        (403, {"retry-after": "30"}, 30),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, 60),
        (429, {"retry-after": "9" * 30}, LONGEST_WAIT_S),
        (429, {"retry-after": "-5"}, 60),
    ],
)
def test_a_limit_says_how_long_to_wait(
    api: GitHubApi, status: int, headers: dict[str, str], waits: float
) -> None:
    api.answers.append((status, headers, {}))
    with pytest.raises(TooManyError) as limited:
        GitHubClient(api.url, token="t").send("GET", "/x")  # noqa: S106 - no secret
    assert limited.value.retry_after_s == pytest.approx(waits, abs=2)


def test_an_exhausted_limit_is_waited_out_until_the_time_that_it_names(api: GitHubApi) -> None:
    resets = time.time() + 2000
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(resets))}
    api.answers.append((403, headers, {}))
    with pytest.raises(TooManyError) as limited:
        GitHubClient(api.url, token="t").send("GET", "/x")  # noqa: S106 - no secret
    assert limited.value.retry_after_s is not None
    assert time.time() + limited.value.retry_after_s == pytest.approx(resets, abs=60)


def test_a_secondary_limit_that_only_says_so_in_words_is_waited_out(api: GitHubApi) -> None:
    said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    api.answers.append((403, {"x-ratelimit-remaining": "4711"}, {"message": said}))
    with pytest.raises(TooManyError) as limited:
        GitHubClient(api.url, token="t").send("GET", "/x")  # noqa: S106 - no secret
    assert limited.value.retry_after_s == FIRST_WAIT_S


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, UnavailableError),
        (502, UnavailableError),
        (301, UnavailableError),
        (404, NotFoundError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (422, AIHubError),
    ],
)
def test_a_refusal_is_of_the_kind_that_says_whether_to_try_again(
    api: GitHubApi, status: int, error: type[AIHubError]
) -> None:
    api.answers.append((status, {"location": "/elsewhere"}, {}))
    with pytest.raises(error):
        GitHubClient(api.url, token="t").send("GET", "/x")  # noqa: S106 - no secret
    assert len(api.requests) == 1, "a redirect is not followed"


def test_nobody_there_is_worth_another_try() -> None:
    with pytest.raises(UnavailableError):
        GitHubClient("http://127.0.0.1:9", token="t").send("GET", "/x")  # noqa: S106 - no secret


@pytest.mark.parametrize(
    "url", ["http://github.example.com", "ftp://x", "https://user:pw@api.github.com", ""]
)
def test_the_api_is_called_over_a_safe_way_only(url: str) -> None:
    with pytest.raises(ConfigError):
        GitHubClient(url)


def test_an_app_gets_a_token_for_its_installation_once(
    api: GitHubApi, issuer: Issuer, tmp_path: Path
) -> None:
    file = tmp_path / "app.pem"
    file.write_bytes(
        issuer.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    client = GitHubClient(api.url, app_id="77", app_key_file=file)
    client.send("GET", "/x", installation="5")
    client.send("GET", "/y", installation="5")
    assert [path for _, path, _ in api.requests] == ["/app/installations/5/access_tokens", "/x", "/y"]
    claims = jwt.decode(client._app_token(), issuer.key.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "77"
    assert claims["exp"] - claims["iat"] <= 600
    with pytest.raises(ConfigError, match="not installed"):
        client.send("GET", "/x")
    with pytest.raises(ConfigError, match="not installed"):
        client.send("GET", "/x", installation="../../user")


def test_a_key_that_is_none_is_named_and_not_shown(api: GitHubApi, tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_text("secret nonsense")
    with pytest.raises(ConfigError, match="PEM") as fault:
        GitHubClient(api.url, app_id="77", app_key_file=file).send("GET", "/x", installation="5")
    assert "nonsense" not in str(fault.value)
    with pytest.raises(ConfigError, match="AIHUB_GITHUB_TOKEN"):
        GitHubClient(api.url).send("GET", "/x")
