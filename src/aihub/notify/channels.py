"""Send a notice through a channel. Each call is one attempt; who calls decides about the next.

HTTP goes through `aihub.outgoing` (no private addresses, no redirects), mail through the standard library.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from aihub import outgoing
from aihub.errors import ForbiddenError, TooManyError, UnavailableError
from aihub.notify import forms
from aihub.notify.config import EmailChannel, SlackChannel, TeamsChannel, WebhookChannel

if TYPE_CHECKING:
    import httpx

    from aihub.notify.message import Notice

    AnyChannel: TypeAlias = SlackChannel | TeamsChannel | WebhookChannel | EmailChannel

SIGNATURE_HEADER = "X-AIHub-Signature-256"
MAX_WAIT_S = 3600.0
LONGEST_MAIL = 4
"""Time-outs of a mail channel that one mail may take altogether."""
_log = logging.getLogger(__name__)
_OK = range(200, 300)
_SERVER = range(500, 600)
_TOO_MANY = 429
_TIMEOUT = 408


def send(channel: AnyChannel, notice: Notice) -> None:
    """Tell `notice` through `channel`, once.

    Raises
    ------
    UnavailableError
        The receiver is away or busy (`TooManyError` says how long to wait); another try may help.
    ForbiddenError, InputError, ConfigError
        It will never work like this: the address is not allowed, the receiver refuses, or a secret is missing.
    """
    notice = notice.shortened()
    if isinstance(channel, EmailChannel):
        _mail(channel, notice)
        return
    if isinstance(channel, WebhookChannel):
        content = forms.document(notice)
        headers = signed_headers(content, channel.secret.read().get_secret_value().encode(), key=notice.key)
    else:
        form = forms.slack(notice) if isinstance(channel, SlackChannel) else forms.teams(notice)
        content, headers = json.dumps(form, ensure_ascii=False).encode(), {}
    answer = outgoing.post(
        channel.url.read().get_secret_value(),
        content,
        {"Content-Type": "application/json; charset=utf-8", "User-Agent": "aihub", **headers},
        allow_private=channel.allow_private,
        hosts=channel.hosts,
    )
    _judge(answer)


def signed_headers(content: bytes, secret: bytes, *, key: str, at: datetime | None = None) -> dict[str, str]:
    """Return headers by which a receiver knows who sent the body, when, and whether it has seen it before.

    The signature is ``sha256=`` and the hexadecimal HMAC-SHA-256 of ``TIMESTAMP.BODY``.
    """
    stamp = str(int((at or datetime.now(UTC)).timestamp()))
    mac = hmac.new(secret, stamp.encode() + b"." + content, hashlib.sha256).hexdigest()
    return {"X-AIHub-Timestamp": stamp, "X-AIHub-Delivery": key, SIGNATURE_HEADER: f"sha256={mac}"}


def _judge(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in _OK:
        return
    said = answer.content[:200].decode("utf-8", errors="replace")
    if status == _TOO_MANY or (status in _SERVER and "Retry-After" in answer.headers):
        raise TooManyError(f"the receiver asks to wait ({status})", retry_after_s=_wait_s(answer))
    if status in _SERVER or status == _TIMEOUT:
        raise UnavailableError(f"the receiver answered {status}: {said!r}; it is tried again")
    raise ForbiddenError(
        f"the receiver refuses ({status}): {said!r}; correct the channel's address or secret"
    )


def _wait_s(answer: httpx.Response) -> float:
    """Seconds of a Retry-After header, within reason; an HTTP date is read as a minute."""
    try:
        return min(max(float(answer.headers.get("Retry-After", "1")), 1.0), MAX_WAIT_S)
    except ValueError:
        return 60.0


def mail_of(channel: EmailChannel, notice: Notice) -> EmailMessage:
    """Return the mail of a notice: text and HTML, and the same message id for the same notice."""
    message = EmailMessage()
    message["Subject"] = " ".join(f"[AI Hub] {notice.title}".split())
    message["From"], message["To"] = channel.sender, ", ".join(channel.to)
    message["Date"] = format_datetime(notice.at)
    name = hashlib.sha256(f"{notice.tenant}\n{notice.key}".encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{name}@{channel.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(forms.plain(notice))
    message.add_alternative(forms.html(notice), subtype="html")
    return message


def _mail(channel: EmailChannel, notice: Notice) -> None:
    context = ssl.create_default_context(cafile=str(channel.ca_file) if channel.ca_file else None)
    try:
        with _connected(channel, context) as server:
            if channel.user and channel.password:
                server.login(channel.user, channel.password.read().get_secret_value())
            refused = server.send_message(mail_of(channel, notice))
        if refused:
            # The others have the mail: sent again, they would have it twice.
            codes = ", ".join(str(code) for code, _ in refused.values())
            _log.warning(
                "mail server %r refuses %d of %d receivers (%s); correct the channel's list",
                channel.host,
                len(refused),
                len(channel.to),
                codes,
            )
    except ssl.SSLCertVerificationError as error:
        raise ForbiddenError(f"mail server {channel.host!r} is not who it says: {error}") from None
    except smtplib.SMTPRecipientsRefused as error:
        # 4xx: full box, grey-listing; anything else will not get better.
        if all(code in range(400, 500) for code, _ in error.recipients.values()):
            raise UnavailableError(
                f"mail server {channel.host!r} takes no mail for now; it is tried again"
            ) from None
        raise ForbiddenError(f"mail server {channel.host!r} knows none of the receivers") from None
    except smtplib.SMTPResponseException as error:
        # A sign-in may be put off as well: 454 says that the server cannot look passwords up just now.
        is_sign_in = isinstance(error, smtplib.SMTPAuthenticationError)
        message = f"mail server {channel.host!r} answered {error.smtp_code}{' to our password' if is_sign_in else ''}"
        if error.smtp_code in range(400, 500):
            raise UnavailableError(f"{message}; it is tried again") from None
        raise ForbiddenError(f"{message}; correct the channel") from None
    except (OSError, smtplib.SMTPException) as error:
        raise UnavailableError(
            f"mail server {channel.host!r} does not answer ({type(error).__name__}); it is tried again"
        ) from None


class _Conversation(smtplib.SMTP):
    """One with an end: a server that sends a byte at a time is never silent for as long as the time-out."""

    def connect(
        self, host: str = "localhost", port: int = 0, source_address: Any = None
    ) -> tuple[int, bytes]:
        self.end = threading.Timer(LONGEST_MAIL * self.timeout, self._cut)
        self.end.daemon = True
        self.end.start()
        try:
            return super().connect(host, port, source_address)
        except BaseException:
            self.end.cancel()
            raise

    def close(self) -> None:
        self.end.cancel()
        super().close()

    def _cut(self) -> None:
        if self.sock is not None:
            with suppress(OSError):
                # Of the connection itself: the other thread is within the one that TLS has made of it.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class _TlsConversation(_Conversation, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""


def _connected(channel: EmailChannel, context: ssl.SSLContext) -> smtplib.SMTP:
    if channel.tls == "tls":
        return _TlsConversation(channel.host, channel.port, timeout=channel.timeout_s, context=context)
    server = _Conversation(channel.host, channel.port, timeout=channel.timeout_s)
    if channel.tls == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server
