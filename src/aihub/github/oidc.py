"""Who a workflow is: the OIDC token that GitHub gives a job, verified strictly.

A verifier that checks the signature and a prefix of `sub` accepts two thirds of the bad tokens that one can think of.
Here everything that matters is checked, nothing is read from `sub` (its form changed in 2026) and no name is trusted
where there is an id: a name can be registered anew by somebody else, an id cannot.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from aihub.errors import UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ISSUER = "https://token.actions.githubusercontent.com"
LEEWAY_S = 30
"""How far the clocks may differ."""
MAX_LIFETIME_S = 900
"""GitHub's tokens live five minutes; one that lives longer was not made for a job."""
MAX_TOKEN_CHARS = 16 << 10
WRITE_EVENTS = frozenset({"push", "schedule", "workflow_dispatch", "repository_dispatch", "release"})
"""Events whose code somebody with write access has chosen. Every other one, a pull request first of all, gets
read-only: a token does not say whether the pull request comes from a fork."""
_IDENTITY = ("repository_id", "repository_owner_id", "run_id", "run_attempt")
_TEXTS = ("jti", "ref", "event_name", "job_workflow_ref", "sha")
_NAMES = ("repository", "actor", "actor_id", "head_ref", "base_ref", "runner_environment", "workflow_ref")
_FOREIGN_KEYS = ("crit", "jku", "jwk", "x5u", "x5c")
_DIGITS = re.compile(r"[1-9][0-9]{0,19}")


class Keys(Protocol):
    """Where the public keys come from; `aihub.github.keys.KeySet` is one."""

    def find(self, key_id: str) -> RSAPublicKey:
        """Return the key with this id, or raise `UnauthorizedError`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a good token says about the job. `names` are for people to read; nothing is decided by them."""

    jti: str
    repository_id: str
    repository_owner_id: str
    run_id: str
    run_attempt: str
    ref: str
    sha: str
    event_name: str
    job_workflow_ref: str
    environment: str | None
    expires_at: datetime
    names: Mapping[str, str]

    @property
    def may_write(self) -> bool:
        """Whether the event is one whose code was chosen by somebody with write access."""
        return self.event_name in WRITE_EVENTS

    def to_dict(self) -> dict[str, Any]:
        """Return what the audit log keeps: never the token itself."""
        ids = {name: getattr(self, name) for name in (*_IDENTITY, *_TEXTS)}
        return {**ids, "environment": self.environment, **self.names}


def verify(token: str, keys: Keys, *, audience: str, now: datetime, issuer: str = ISSUER) -> Claims:
    """Return what `token` says, when every check passes.

    Raises
    ------
    UnauthorizedError
        The token is not GitHub's, not for this hub, not of this moment, or says too little. The message names the
        reason for the log; the caller on the other side is not told.
    UnavailableError
        GitHub's keys cannot be had.
    """
    return check(payload_of(token, keys), audience=audience, now=now, issuer=issuer)


def payload_of(token: str, keys: Keys) -> dict[str, Any]:
    """Return the content of a token that is signed by one of `keys` with RS256; nothing of it is checked yet.

    Raises
    ------
    UnauthorizedError
        It is no such token.
    """
    import jwt

    if len(token) > MAX_TOKEN_CHARS:
        raise UnauthorizedError(f"the token has more than {MAX_TOKEN_CHARS} characters")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise UnauthorizedError("this is no JSON web token") from error
    # The header's algorithm chooses nothing: it is RS256 or the token is refused.
    if header.get("alg") != "RS256":
        raise UnauthorizedError(f"the token is signed with {str(header.get('alg'))[:20]!r}, not with RS256")
    foreign = [name for name in _FOREIGN_KEYS if name in header]
    key_id = header.get("kid")
    if foreign or not isinstance(key_id, str):
        raise UnauthorizedError("the token brings its own key, or names none")
    try:
        # Only the signature is the library's business: what it says is checked by us, with our clock.
        signed: bytes = jwt.PyJWS(["RS256"]).decode(token, keys.find(key_id), algorithms=["RS256"])
        payload = json.loads(signed.decode(), object_pairs_hook=_once_each)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise UnauthorizedError("the token's signature does not fit, or its content is no claims") from error
    if not isinstance(payload, dict):
        raise UnauthorizedError("the token's content is no claims")
    return payload


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names are all different: of a claim that stands twice another reader may take the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a claim stands twice")
    return found


def check(payload: Mapping[str, Any], *, audience: str, now: datetime, issuer: str = ISSUER) -> Claims:
    """Return the claims of a payload whose signature is good. Pure.

    Raises
    ------
    UnauthorizedError
        Something is missing, of another kind, of another hub or of another time.
    """
    if not audience:
        raise UnauthorizedError("no audience is configured; set AIHUB_GITHUB_AUDIENCE")
    if payload.get("iss") != issuer:
        raise UnauthorizedError(
            f"the token was issued by {str(payload.get('iss'))[:80]!r}, not by {issuer!r}"
        )
    # A list is refused even where ours is in it: the token would be good elsewhere, too.
    if payload.get("aud") != audience:
        raise UnauthorizedError(
            f"the token is for {str(payload.get('aud'))[:120]!r}, not for {audience!r} alone"
        )
    expires = _check_times(payload, now.timestamp())
    return Claims(
        **{name: _id(payload, name) for name in _IDENTITY},
        **{name: _text(payload, name) for name in _TEXTS},
        environment=None if payload.get("environment") is None else _text(payload, "environment"),
        expires_at=datetime.fromtimestamp(expires, UTC),
        names={name: _shown(payload[name]) for name in _NAMES if isinstance(payload.get(name), str)},
    )


def _check_times(payload: Mapping[str, Any], now: float) -> int:
    issued, expires = _moment(payload, "iat"), _moment(payload, "exp")
    starts = _moment(payload, "nbf") if "nbf" in payload else issued
    if now >= expires + LEEWAY_S:
        raise UnauthorizedError(f"the token expired {now - expires:.0f} s ago")
    if max(issued, starts) > now + LEEWAY_S:
        raise UnauthorizedError("the token is of the future; compare the clocks")
    if not 0 < expires - issued <= MAX_LIFETIME_S:
        raise UnauthorizedError(
            f"the token lives {expires - issued} s; at most {MAX_LIFETIME_S} s are accepted"
        )
    return expires


def _moment(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if type(value) is not int or not 0 < value < 1 << 40:
        raise UnauthorizedError(f"the token's {name!r} is missing or no number of seconds")
    return value


def _id(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise UnauthorizedError(f"the token's {name!r} is missing or no id")
    return value


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 512 or not value.isprintable():  # noqa: PLR2004 - a claim, not a text
        raise UnauthorizedError(f"the token's {name!r} is missing or no text")
    return value


def _shown(name: str) -> str:
    """Return a name without what a database or a terminal could not take: nothing is decided by it."""
    return "".join(character for character in name[:256] if character.isprintable())
