"""Links that let their holder decide, for a while: signed, bound to one approval and one artefact.

Opening one shows a page; only the button on it decides, because mail scanners and chat previews open every link.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from aihub.errors import ForbiddenError

Word: TypeAlias = Literal["view", "approve", "reject"]
_PURPOSE = b"aihub.approval-link.1\n"
MAX_TOKEN = 2048


@dataclass(frozen=True, kw_only=True)
class DecisionLink:
    """What a link allows.

    Attributes
    ----------
    decision
        ``view`` only shows, and lets whoever has a key decide.
    digest
        Artefact that was shown; the decision counts for no other.
    principal
        Who decides by it; empty where the page must ask (a channel that several people read).
    """

    tenant: str
    approval: str
    decision: Word
    digest: str
    expires_at: int
    principal: str = ""


def link_key(secret: bytes) -> bytes:
    """Return the key of links, derived from a secret of the hub that has another purpose."""
    return hmac.new(secret, b"aihub.links.1", hashlib.sha256).digest()


def sign(link: DecisionLink, key: bytes) -> str:
    """Return the token of a link."""
    payload = json.dumps(asdict(link), sort_keys=True, separators=(",", ":")).encode()
    return f"{_text(payload)}.{_text(_mac(payload, key))}"


def read(token: str, key: bytes, now: datetime) -> DecisionLink:
    """Return what a token allows.

    Raises
    ------
    ForbiddenError
        It is not ours, was changed, or has expired.
    """
    refused = ForbiddenError("this link is not valid; open the approval in the hub and decide there")
    if len(token) > MAX_TOKEN:
        raise refused
    body, _, signature = token.partition(".")
    try:
        payload = _bytes(body)
        if not hmac.compare_digest(_bytes(signature), _mac(payload, key)):
            raise refused
        link = DecisionLink(**json.loads(payload))
    except (ValueError, TypeError):
        raise refused from None
    if now.astimezone(UTC).timestamp() >= link.expires_at:
        raise ForbiddenError("this link has expired; open the approval in the hub and decide there")
    return link


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.new(key, _PURPOSE + payload, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
