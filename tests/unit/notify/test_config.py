"""Channels and routes as a person writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aihub.errors import ConfigError
from aihub.notify.config import NotifyConfig, Secret, load

if TYPE_CHECKING:
    from pathlib import Path

EMAIL = {"kind": "email", "host": "mail.example.org", "sender": "hub@example.org", "to": ["ann@example.org"]}


def test_the_guides_variable_alone_makes_a_channel_that_hears_everything() -> None:
    config = load(None, {"SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/x"})
    assert list(config.channels) == ["slack"]
    assert config.routes[0].events == ("*",)
    assert load(None, {}).routes == ()


def test_a_file_says_where_it_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text("channels:\n  ops:\n    kind: slack\n    url: {env: X}\nroutes:\n  - chanels: [ops]\n")
    with pytest.raises(
        ConfigError, match=r"notify\.yaml, line 6: unknown field 'routes\.0\.chanels'.*channels"
    ):
        load(file)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({**EMAIL, "tls": "none"}, "this machine only"),
        ({**EMAIL, "user": "hub"}, "go together"),
        ({**EMAIL, "to": ["ann@example.org\r\nBcc: eve@example.org"]}, "to"),
        ({"kind": "slack", "url": {"env": "A", "file": "/b"}}, "one of the two"),
        ({"kind": "slack", "url": "https://hooks.slack.com/services/x"}, "never stands here itself. Write"),
        ({"kind": "pigeon"}, "pigeon|kind"),
    ],
)
def test_channels_that_would_leak_or_fail_are_refused(channel: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        NotifyConfig.model_validate({"channels": {"c": channel}})
    assert "services/x" not in str(caught.value), "the secret is not repeated"


def test_a_route_to_nowhere_names_the_nearest_channel() -> None:
    document = {"channels": {"mail": EMAIL}, "routes": [{"channels": ["mial"]}]}
    with pytest.raises(ConfigError, match="Did you mean 'mail'"):
        NotifyConfig.model_validate(document)


def test_a_secret_is_read_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    secret = Secret(file=file).read()
    assert secret.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(secret)
    with pytest.raises(ConfigError, match="'NOT_SET' is not set"):
        Secret(env="NOT_SET").read({})
