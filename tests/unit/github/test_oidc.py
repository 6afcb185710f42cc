from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from aihub.errors import UnauthorizedError
from aihub.github.oidc import LEEWAY_S, MAX_LIFETIME_S, check, verify
from github_side import AUDIENCE, NOW, Issuer, claims

T = int(NOW.timestamp())


def test_a_good_token_says_who_the_job_is(issuer: Issuer) -> None:
    found = verify(issuer.token(), issuer, audience=AUDIENCE, now=NOW)
    assert (found.repository_id, found.repository_owner_id) == ("42", "7")
    assert (found.environment, found.event_name, found.may_write) == ("production", "push", True)
    assert found.names["actor"] == "alice"


_SPOILT: dict[str, dict[str, Any]] = {
    "expired": {"exp": T - LEEWAY_S, "iat": T - 300},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": str(T + 100)},
    "expiry as fraction": {"exp": T + 100.5},
    "expiry as bool": {"exp": True},
    "expiry beyond numbers": {"exp": 1 << 70},
    "lives too long": {"exp": T + MAX_LIFETIME_S + 10},
    "ends before it begins": {"iat": T + 20, "exp": T + 10},
    "of the future": {"iat": T + LEEWAY_S + 5, "exp": T + 200},
    "not before later": {"nbf": T + LEEWAY_S + 5},
    "not before as text": {"nbf": "soon"},
    "no issue time": {"iat": None},
    "other issuer": {"iss": "https://evil.example.com"},
    "issuer with a path": {"iss": "https://token.actions.githubusercontent.com/acme"},
    "no issuer": {"iss": None},
    "other audience": {"aud": "https://github.com/acme"},
    "audience as list": {"aud": [AUDIENCE]},
    "audience among others": {"aud": [AUDIENCE, "sts.amazonaws.com"]},
    "audience as prefix": {"aud": AUDIENCE + ".evil.example.com"},
    "no audience": {"aud": None},
    "no id": {"jti": None},
    "empty id": {"jti": ""},
    "id of another kind": {"jti": 7},
    "no repository id": {"repository_id": None},
    "repository id as number": {"repository_id": 42},
    "repository id with blank": {"repository_id": " 42"},
    "repository id in other digits": {"repository_id": "٤٢"},
    "no owner id": {"repository_owner_id": None},
    "no ref": {"ref": None},
    "ref with a line end": {"ref": "refs/heads/main\n"},
    "no event": {"event_name": None},
    "no workflow": {"job_workflow_ref": None},
    "no run": {"run_id": None},
    "environment of another kind": {"environment": ["production"]},
    "empty environment": {"environment": ""},
}


@pytest.mark.parametrize("changes", _SPOILT.values(), ids=_SPOILT)
def test_a_signed_token_with_bad_claims_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    with pytest.raises(UnauthorizedError):
        verify(issuer.token(**changes), issuer, audience=AUDIENCE, now=NOW)


def test_without_a_configured_audience_nothing_is_accepted() -> None:
    with pytest.raises(UnauthorizedError, match="AIHUB_GITHUB_AUDIENCE"):
        check(claims(aud=""), audience="", now=NOW)


def _with_header(token: str, **header: Any) -> str:
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{head}.{token.split('.', 1)[1]}"


def test_alg_none_is_refused(issuer: Issuer) -> None:
    for alg in ("none", "None", "NONE", ""):
        token = _with_header(issuer.token(), alg=alg, kid="key-1").rpartition(".")[0] + "."
        with pytest.raises(UnauthorizedError):
            verify(token, issuer, audience=AUDIENCE, now=NOW)


def test_a_token_signed_with_the_public_key_as_secret_is_refused(issuer: Issuer) -> None:
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = _with_header(issuer.token(), alg="HS256", typ="JWT", kid="key-1").rpartition(".")[0]
    mac = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(UnauthorizedError, match="RS256"):
        verify(token, issuer, audience=AUDIENCE, now=NOW)


def test_another_algorithm_of_the_same_key_is_refused(issuer: Issuer) -> None:
    for alg in ("RS384", "RS512", "PS256"):
        token = jwt.encode(claims(), issuer.key, alg, {"kid": "key-1"})
        with pytest.raises(UnauthorizedError, match="RS256"):
            verify(token, issuer, audience=AUDIENCE, now=NOW)


def _signed(issuer: Issuer, content: bytes) -> str:
    """A token with exactly this content and a good signature."""
    return jwt.PyJWS().encode(content, issuer.key, "RS256", {"kid": "key-1"})


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(claims())[:-1].encode() + b',"repository_id":"43"}',
        json.dumps(claims()).encode("utf-16"),
        b"[]",
        b'"text"',
        b"\xff",
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        json.dumps(claims(exp=None))[:-1].encode() + b',"exp":' + b"9" * 5000 + b"}",
    ],
    ids=["claim twice", "UTF-16", "list", "text", "no text", "deep", "long number"],
)
def test_a_signed_content_that_can_be_read_in_two_ways_or_none_is_refused(
    issuer: Issuer, content: bytes
) -> None:
    with pytest.raises(UnauthorizedError):
        verify(_signed(issuer, content), issuer, audience=AUDIENCE, now=NOW)


def test_a_name_is_kept_without_what_no_database_takes(issuer: Issuer) -> None:
    token = _signed(issuer, json.dumps(claims(actor="a\x00b\ud800c", head_ref="x\ny")).encode())
    names = verify(token, issuer, audience=AUDIENCE, now=NOW).names
    assert (names["actor"], names["head_ref"]) == ("abc", "xy")


def test_a_forged_signature_is_refused(issuer: Issuer) -> None:
    with pytest.raises(UnauthorizedError, match="signature"):
        verify(Issuer().token(), issuer, audience=AUDIENCE, now=NOW)


def test_a_changed_payload_is_refused(issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(repository_id="43")).encode()).rstrip(b"=").decode()
    with pytest.raises(UnauthorizedError, match="signature"):
        verify(f"{head}.{body}.{signature}", issuer, audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit"])
def test_a_token_that_brings_its_own_key_is_refused(issuer: Issuer, name: str) -> None:
    token = _with_header(issuer.token(), alg="RS256", kid="key-1", **{name: "https://evil.example.com"})
    with pytest.raises(UnauthorizedError, match=r"its own key|no JSON web token"):
        verify(token, issuer, audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "..", "\x00", "é.é.é", "x" * 20_000, "{}.{}.{}"])
def test_what_is_no_token_is_refused(issuer: Issuer, text: str) -> None:
    with pytest.raises(UnauthorizedError):
        verify(text, issuer, audience=AUDIENCE, now=NOW)


def test_an_unknown_key_id_or_none_is_refused(issuer: Issuer) -> None:
    for header in ({"kid": "key-2"}, {"kid": 7}):
        with pytest.raises(UnauthorizedError):
            verify(_with_header(issuer.token(), alg="RS256", **header), issuer, audience=AUDIENCE, now=NOW)
    with pytest.raises(UnauthorizedError):
        verify(_with_header(issuer.token(), alg="RS256"), issuer, audience=AUDIENCE, now=NOW)


@pytest.mark.parametrize(
    "event", ["pull_request", "pull_request_target", "issue_comment", "workflow_run", "merge_group"]
)
def test_an_event_whose_code_others_choose_may_not_write(issuer: Issuer, event: str) -> None:
    assert not verify(issuer.token(event_name=event), issuer, audience=AUDIENCE, now=NOW).may_write
