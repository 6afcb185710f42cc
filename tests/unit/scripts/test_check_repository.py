"""Planted secrets are found; what only looks a bit like one is not."""

from __future__ import annotations

import base64
import importlib.util
import json
import random
import string
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "scripts" / "check_repository.py"
SPEC = importlib.util.spec_from_file_location("check_repository", FILE)
assert SPEC is not None
assert SPEC.loader is not None
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)

RANDOM = random.Random(6)  # noqa: S311 - nothing is protected


def drawn(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(RANDOM.choices(alphabet, k=length))


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


UPPER = string.ascii_uppercase + string.digits
# Put together here, so that the check does not find this file.
PLANTED = {
    "private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "key of AWS": "aws = " + "AKIA" + drawn(16, UPPER),
    "key of Google": "AIza" + drawn(35),
    "key of Azure": "AccountKey=" + drawn(86) + "==",
    "token of GitHub": "github_pat_" + drawn(60),
    "token of GitLab": "glpat-" + drawn(20),
    "token of a package registry": "npm_" + drawn(36),
    "key of a service": "sk-" + drawn(40),
    "token of Slack": "xoxb-" + drawn(30),
    "webhook of Slack": f"https://hooks.slack.com/services/T{drawn(9, UPPER)}/B{drawn(9, UPPER)}/{drawn(24)}",
    "key of a hub": f"hub_{drawn(16, '0123456789abcdef')}" + "_" + drawn(43),
    "signed token (JWT)": f"{part({'alg': 'RS256'})}.{part({'sub': 'somebody'})}.{drawn(86)}",
}
LOOKS_RANDOM = [
    f'DB_PASSWORD="{drawn(24)}"',
    f"  client_secret: {drawn(32)}",
    f'"api_key": "{drawn(40)}"',
    f"AUDIT_TOKEN={drawn(64, '0123456789abcdef')}",
    f"postgresql://hub:{drawn(20)}@db.example.com/hub",
]


@pytest.mark.parametrize(("kind", "text"), PLANTED.items(), ids=PLANTED)
def test_a_planted_secret_is_found_and_not_repeated(kind: str, text: str) -> None:
    (fault, *_) = check.faults("src/x.py", f"# one\nvalue = '{text}'\n")
    assert fault.startswith("src/x.py:2: looks like a secret (")
    assert kind in fault
    assert text not in fault
    assert check.faults("tests/x.py", text), "a test is read by as many"


@pytest.mark.parametrize("line", LOOKS_RANDOM)
def test_a_value_that_looks_random_is_found_by_its_name(line: str) -> None:
    assert list(check.secrets_in(line)) == ["value that looks random"]


@pytest.mark.parametrize(
    "line",
    [
        "password = settings.read_audit_signing_seed()",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "SLACK_WEBHOOK_URL=https://hooks.slack.com/services/...",
        'KEY = "hub_0123456789abcdef_" + "s" * 43',
        "postgresql://user:pass@host:5432/db",
        "uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1",
        "idempotency_key = 'the-same-key-for-the-same-request'",
        "access_token_url = https://example.com/oauth/access_token",
    ],
)
def test_what_is_no_secret_is_let_through(line: str) -> None:
    assert not list(check.secrets_in(line))


@pytest.mark.skipif(
    not (FILE.parents[1] / ".git").exists(), reason="no checkout, so nothing is committed here"
)
def test_the_repository_holds_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main() == 0, capsys.readouterr().out
