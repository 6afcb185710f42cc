"""Channels against servers that are really there."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aihub.errors import AIHubError, ForbiddenError, TooManyError, UnavailableError
from aihub.notify.channels import SIGNATURE_HEADER, send
from aihub.notify.config import EmailChannel, Secret, SlackChannel, TeamsChannel, WebhookChannel
from notices import notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from receivers import Receiver

URL = "AIHUB_TEST_CHANNEL_URL"


@pytest.fixture
def slack(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> SlackChannel:
    monkeypatch.setenv(URL, receiver.url)
    return SlackChannel(kind="slack", url=Secret(env=URL), hosts=("127.0.0.1",), allow_private=True)


def test_slack_gets_block_kit(slack: SlackChannel, receiver: Receiver) -> None:
    send(slack, notice())
    (_, headers, body) = receiver.requests[0]
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body)["blocks"][0]["type"] == "header"


def test_teams_gets_an_adaptive_card(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, receiver.url)
    send(TeamsChannel(kind="teams", url=Secret(env=URL), allow_private=True), notice())
    assert json.loads(receiver.requests[0][2])["attachments"][0]["content"]["type"] == "AdaptiveCard"


def test_a_webhook_is_signed_over_time_and_body(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIHUB_TEST_SECRET", "s3cret")
    monkeypatch.setenv(URL, receiver.url)
    channel = WebhookChannel(
        kind="webhook", url=Secret(env=URL), secret=Secret(env="AIHUB_TEST_SECRET"), allow_private=True
    )
    send(channel, notice())
    (_, headers, body) = receiver.requests[0]
    signed = headers["X-AIHub-Timestamp"].encode() + b"." + body
    expected = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE_HEADER] == f"sha256={expected}"
    assert headers["X-AIHub-Delivery"] == "k1"


def test_too_many_says_how_long_to_wait(slack: SlackChannel, receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "7"})]
    with pytest.raises(TooManyError) as caught:
        send(slack, notice())
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("answer", [(500, {}), (503, {}), None])
def test_a_server_that_fails_or_closes_is_worth_another_try(
    slack: SlackChannel, receiver: Receiver, answer: tuple[int, dict[str, str]] | None
) -> None:
    receiver.answers = [answer]
    with pytest.raises(UnavailableError) as caught:
        send(slack, notice())
    assert "secret-part" not in str(caught.value)


@pytest.mark.parametrize("status", [302, 400, 404, 410])
def test_what_will_never_work_is_not_tried_again(
    slack: SlackChannel, receiver: Receiver, status: int
) -> None:
    receiver.answers = [(status, {"Location": "http://127.0.0.1:1/"})]
    with pytest.raises(ForbiddenError) as caught:
        send(slack, notice())
    assert "secret-part" not in str(caught.value)


def test_slack_alone_is_called_where_nobody_said_otherwise(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, receiver.url.replace("http:", "https:"))
    with pytest.raises(ForbiddenError, match="not on the list"):
        send(SlackChannel(kind="slack", url=Secret(env=URL)), notice())
    assert receiver.requests == []


class Mailbox:
    """A mail server's memory; answers what a test tells it."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.answer = "250 OK"
        self.unknown: set[str] = set()
        self.sign_in: str | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.unknown:
            return "550 unknown"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answer.startswith("250"):
            self.mails.append(envelope.content)
        return self.answer


class LocalController(Controller):
    """Listens with STARTTLS and one user."""

    def factory(self) -> SMTP:
        def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
            put_off = self.handler.sign_in
            if put_off:
                return AuthResult(success=False, handled=False, message=put_off)
            return AuthResult(success=data.password == b"s3cret")

        return SMTP(
            self.handler, tls_context=self.tls, require_starttls=True, authenticator=check, auth_required=True
        )

    tls: ssl.SSLContext


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that nobody but the test trusts, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "cert.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file


@pytest.fixture
def mail(certificate: Path, tmp_path: Path) -> Iterator[tuple[EmailChannel, Mailbox]]:
    box = Mailbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = LocalController(box, hostname="localhost", port=port)
    controller.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    controller.tls.load_cert_chain(certificate)
    controller.start()
    password = tmp_path / "password"
    password.write_text("s3cret")
    channel = EmailChannel(
        kind="email", host="localhost", port=port, sender="hub@example.org", to=("ann@example.org",),
        user="hub", password=Secret(file=password), ca_file=certificate, timeout_s=5,
    )  # fmt: skip
    try:
        yield channel, box
    finally:
        controller.stop()


def test_a_mail_has_text_and_html_and_goes_over_tls(mail: tuple[EmailChannel, Mailbox]) -> None:
    channel, box = mail
    send(channel, notice(title="a title\r\nBcc: eve@example.org"))
    send(channel, notice())
    first, second = (message_from_bytes(content, policy=policy.default) for content in box.mails)
    assert first["Bcc"] is None
    assert first["Message-ID"] == second["Message-ID"]
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]


def test_a_server_with_another_certificate_gets_no_password(mail: tuple[EmailChannel, Mailbox]) -> None:
    channel, box = mail
    with pytest.raises(ForbiddenError):
        send(channel.model_copy(update={"ca_file": None}), notice())
    assert box.mails == []


@pytest.mark.parametrize(("answer", "kind"), [("451 busy", UnavailableError), ("554 no", ForbiddenError)])
def test_a_mail_that_is_put_off_is_tried_again_and_one_that_is_refused_is_not(
    mail: tuple[EmailChannel, Mailbox], answer: str, kind: type[Exception]
) -> None:
    channel, box = mail
    box.answer = answer
    with pytest.raises(kind):
        send(channel, notice())


def test_a_receiver_that_is_unknown_keeps_the_mail_from_nobody_else_and_is_told_of(
    mail: tuple[EmailChannel, Mailbox], caplog: pytest.LogCaptureFixture
) -> None:
    channel, box = mail
    box.unknown = {"gone@example.com"}
    send(channel.model_copy(update={"to": (*channel.to, "gone@example.com")}), notice())
    assert len(box.mails) == 1
    assert "refuses 1 of" in caplog.text
    assert "gone@example.com" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("454 4.7.0 not now", UnavailableError), ("535 5.7.8 wrong", ForbiddenError)],
)
def test_a_sign_in_that_is_put_off_is_tried_again(
    mail: tuple[EmailChannel, Mailbox], answer: str, kind: type[Exception]
) -> None:
    channel, box = mail
    box.sign_in = answer
    with pytest.raises(kind):
        send(channel, notice())
    assert box.mails == []


def test_a_mail_server_that_drips_does_not_hold_up_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                for _ in range(1200):
                    connection.sendall(b"2")
                    time.sleep(0.05)

        thread = threading.Thread(target=answer)
        thread.start()
        channel = EmailChannel(
            kind="email", host="127.0.0.1", port=server.getsockname()[1], tls="none", sender="a@b.c",
            to=("d@e.f",), timeout_s=0.2,
        )  # fmt: skip
        began = time.monotonic()
        with pytest.raises(AIHubError):
            send(channel, notice())
        assert time.monotonic() - began < 20
        thread.join()


def test_a_mail_server_that_is_down_is_worth_another_try() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    channel = EmailChannel(
        kind="email", host="127.0.0.1", port=port, tls="none", sender="a@b.c", to=("d@e.f",)
    )
    with pytest.raises(UnavailableError):
        send(channel, notice())
