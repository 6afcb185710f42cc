from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from aihub.cli.login import login
from aihub.errors import AIHubError, ConfigError, UnauthorizedError, UnavailableError
from aihub.github.runner import request_token, sign_in
from github_side import GitHubApi, Issuer, TokenService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GIVEN = {"credential": "hubgh_0_x", "role": "trainer", "tenant": "default", "expires_at": "soon"}


@pytest.fixture
def tokens(issuer: Issuer) -> Iterator[TokenService]:
    one = TokenService(issuer)
    yield one
    one.close()


def test_a_job_gets_its_token_for_one_audience(tokens: TokenService) -> None:
    token = request_token("https://hub.example.com?a=1&b", tokens.authorize({}))
    assert token.count(".") == 2
    with pytest.raises(ConfigError, match="id-token: write"):
        request_token("x", {})
    with pytest.raises(UnauthorizedError):
        request_token("x", {**tokens.authorize({}), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"})
    nobody = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/x?y=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t",
    }
    with pytest.raises(UnavailableError, match="GitHub does not answer"):
        request_token("x", nobody)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, UnauthorizedError), (503, UnavailableError), (429, UnavailableError), (422, AIHubError)],
)
def test_what_the_hub_says_is_told_once(api: GitHubApi, status: int, error: type[AIHubError]) -> None:
    api.answers.append((status, {}, {"detail": "not trusted"}))
    with pytest.raises(error):
        sign_in(api.url, "token")
    assert len(api.requests) == 1, "a token is good once: it is not sent again"


def test_the_credential_goes_to_the_next_steps_and_is_masked(
    api: GitHubApi, tokens: TokenService, tmp_path: Path
) -> None:
    api.answers.append((200, {}, GIVEN))
    environ = {**tokens.authorize({}), "AIHUB_URL": api.url, "GITHUB_ENV": str(tmp_path / "env")}
    done = CliRunner().invoke(login, [], env=environ, standalone_mode=False)
    assert done.exception is None, done.exception
    assert done.output.startswith("::add-mask::hubgh_0_x\nsigned in to ")
    assert done.output.count("hubgh_") == 1
    assert (tmp_path / "env").read_text() == "AIHUB_API_KEY=hubgh_0_x\n"


def test_a_job_that_several_tenants_trust_says_which_in_its_environment(
    api: GitHubApi, tokens: TokenService, tmp_path: Path
) -> None:
    api.answers.append((200, {}, GIVEN))
    environ = {**tokens.authorize({}), "AIHUB_URL": api.url, "GITHUB_ENV": str(tmp_path / "env")}
    done = CliRunner().invoke(login, [], env={**environ, "AIHUB_TENANT": "grid"}, standalone_mode=False)
    assert done.exception is None, done.exception
    ((_, path, body),) = api.requests
    assert (path, body["tenant"]) == ("/auth/github", "grid")


def test_a_job_that_names_no_hub_is_told_so() -> None:
    done = CliRunner().invoke(login, [], env={"AIHUB_URL": ""}, standalone_mode=False)
    assert isinstance(done.exception, ConfigError)


def test_a_token_does_not_cross_a_network_in_the_clear(tokens: TokenService) -> None:
    environ = {**tokens.authorize({}), "AIHUB_URL": "http://hub.example.com", "AIHUB_ALLOW_HTTP": ""}
    done = CliRunner().invoke(login, [], env=environ, standalone_mode=False)
    assert isinstance(done.exception, ConfigError)
    assert "plain http" in str(done.exception)


def test_an_answer_that_is_no_credential_does_not_reach_the_environment(
    api: GitHubApi, tokens: TokenService, tmp_path: Path
) -> None:
    api.answers.append((200, {}, {**GIVEN, "credential": "hubgh_0_x\nPATH=/evil"}))
    environ = {**tokens.authorize({}), "AIHUB_URL": api.url, "GITHUB_ENV": str(tmp_path / "env")}
    done = CliRunner().invoke(login, [], env=environ, standalone_mode=False)
    assert isinstance(done.exception, UnavailableError)
    assert not (tmp_path / "env").exists()
