"""Who is told what, as data: channels, routes between events and channels, and where the secrets come from.

A file (`AIHUB_NOTIFY_FILE`, YAML) names channels and routes; secrets stand in the environment or in files of their own,
never in it. Without a file, `SLACK_WEBHOOK_URL` alone makes one Slack channel that hears everything.
"""

from __future__ import annotations

import os
from datetime import time  # noqa: TC003 - pydantic reads the annotation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from aihub.errors import ConfigError, did_you_mean
from aihub.notify.message import Severity
from aihub.training.strict import StrictModel
from aihub.training.yaml_text import MAX_BYTES, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

SLACK_VARIABLE = "SLACK_WEBHOOK_URL"
SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Secret(StrictModel):
    """Where a secret lies: the name of a variable of the environment, or a file."""

    env: str = ""
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_place(cls, data: Any) -> Any:
        if not isinstance(data, dict | Secret):
            # Not repeated in the message: it may well be the secret.
            raise ConfigError("a secret never stands here itself. Write {env: NAME} or {file: PATH}.")
        return data

    def check_agreement(self) -> None:
        """Exactly one place."""
        if bool(self.env) == (self.file is not None):
            raise ConfigError("a secret is {env: NAME} or {file: PATH}. Give one of the two.")

    def read(self, environ: Mapping[str, str] | None = None) -> SecretStr:
        """Return the secret.

        Raises
        ------
        ConfigError
            The variable is not set, or the file cannot be read; the message names it, never the value.
        """
        if self.env:
            value = (os.environ if environ is None else environ).get(self.env, "").strip()
            if not value:
                raise ConfigError(f"variable {self.env!r} is not set; it holds a secret of a channel")
            return SecretStr(value)
        try:
            return SecretStr(Path(str(self.file)).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the secret's file {self.file} cannot be read: {error}") from None


class SlackChannel(StrictModel):
    """An incoming webhook of Slack; only Slack's own hosts are called unless `hosts` says otherwise."""

    kind: Literal["slack"]
    url: Secret
    hosts: tuple[str, ...] = SLACK_HOSTS
    allow_private: bool = False


class TeamsChannel(StrictModel):
    """A workflow webhook of Microsoft Teams, told by an Adaptive Card."""

    kind: Literal["teams"]
    url: Secret
    hosts: tuple[str, ...] = ()
    allow_private: bool = False


class WebhookChannel(StrictModel):
    """Any program: JSON, signed with HMAC-SHA-256."""

    kind: Literal["webhook"]
    url: Secret
    secret: Secret
    hosts: tuple[str, ...] = ()
    allow_private: bool = False


class EmailChannel(StrictModel):
    """A mail server and those it writes to.

    Attributes
    ----------
    tls
        ``starttls``, ``tls`` (from the first byte) or ``none``, which is only allowed on loopback.
    approver
        Principal that decides by the links of this mail; only for a box that one person reads. The links work while that
        principal has a key that may decide.
    """

    kind: Literal["email"]
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = Field(pattern=r"^[^@\s<>]{1,64}@[^@\s<>]{1,190}$")
    to: tuple[Annotated[str, StringConstraints(pattern=r"^[^@\s<>]{1,64}@[^@\s<>]{1,190}$")], ...] = Field(
        min_length=1, max_length=50
    )
    user: str = ""
    password: Secret | None = None
    ca_file: Path | None = None
    approver: str = Field("", max_length=256)
    timeout_s: float = Field(15.0, gt=0, le=120)

    def check_agreement(self) -> None:
        """Send passwords over TLS only, and keep clear text on this machine."""
        if self.tls == "none" and self.host not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigError(
                "tls: none is for a server on this machine only. Use starttls or tls.", field="tls"
            )
        if bool(self.user) != (self.password is not None):
            raise ConfigError("user and password go together. Give both or none.", field="user")


Channel = Annotated[SlackChannel | TeamsChannel | WebhookChannel | EmailChannel, Field(discriminator="kind")]


class QuietHours(StrictModel):
    """When only what is critical is told at once; everything else waits for the end."""

    start: time
    end: time
    weekend: bool = Field(default=False, description="Whether Saturday and Sunday are quiet all day.")
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {zone!r}; write one like Europe/Berlin") from None
        return zone


class Route(StrictModel):
    """Which notices go to which channels; patterns may hold ``*``."""

    channels: tuple[Name, ...] = Field(min_length=1)
    tenants: tuple[Pattern, ...] = ("*",)
    models: tuple[Pattern, ...] = ("*",)
    events: tuple[Pattern, ...] = ("*",)
    severity: Severity = Severity.INFO
    quiet: QuietHours | None = None
    digest_minutes: int = Field(0, ge=0, le=1440, description="Collect for so long; 0 tells at once.")


class NotifyConfig(StrictModel):
    """Channels and routes of one hub."""

    base_url: str = Field("", max_length=200, description="Where people reach the hub; links begin with it.")
    channels: dict[Name, Channel] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    def check_agreement(self) -> None:
        """Every route leads to a channel that is there."""
        for number, route in enumerate(self.routes):
            for name in route.channels:
                if name not in self.channels:
                    hint = did_you_mean(name, self.channels)
                    raise ConfigError(
                        f"routes.{number}: no channel {name!r}.{hint} Correct it.", field="routes"
                    )


def load(file: Path | None, environ: Mapping[str, str] | None = None) -> NotifyConfig:
    """Read the configuration; without a file, what the environment alone says.

    Raises
    ------
    ConfigError
        The file cannot be read or used; the message names file, line and field.
    """
    environ = os.environ if environ is None else environ
    if file is None:
        if not environ.get(SLACK_VARIABLE, "").strip():
            return NotifyConfig.model_validate({})
        return NotifyConfig.model_validate(
            {
                "channels": {"slack": {"kind": "slack", "url": {"env": SLACK_VARIABLE}}},
                "routes": [{"channels": ["slack"]}],
            }
        )
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_BYTES // 1024} KiB. Routes are a page.")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error}). Check AIHUB_NOTIFY_FILE.") from None
    document, lines = parse_yaml(text, label=str(file))
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: holds no fields. Begin with 'channels:' and 'routes:'.")
    try:
        return NotifyConfig.model_validate(document)
    except ConfigError as error:
        # A field of a nested section comes without its section's name.
        field = error.field or ""
        last = field.rpartition(".")[2]
        # The path of a channel also names its kind, which no line of the file does.
        found = [line for path, line in lines.items() if last and path.rpartition(".")[2] == last]
        line = lines[field] if field in lines else found[0] if len(found) == 1 else None
        raise ConfigError(f"{file}{f', line {line}' if line else ''}: {error}", field=error.field) from None
