from __future__ import annotations

import json
import subprocess
import sys

import pytest

from aihub.logs import redact, without_secrets

KEY = "hub_0123456789abcdef_" + "s" * 43
SECRETS = {
    "a key": (f"key {KEY} used", "s" * 20),
    "a credential of a workflow": ("hubgh_0123456789abcdef_" + "g" * 43, "g" * 20),
    "a bearer": ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
    "a password in an address": ("postgresql://me:hunter22@db/x is away", "hunter22"),
    "a webhook": ("POST https://hooks.slack.com/services/T0/B0/zzzz", "zzzz"),
    "a token of GitHub": ("ghp_" + "a" * 36, "aaaa"),
    "a JWT": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig-nature", "sig-nature"),
    "a query": ("GET /x?access_token=qqqq&b=1", "qqqq"),
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_taken_out_of_a_text(text: tuple[str, str]) -> None:
    whole, secret = text
    assert secret not in without_secrets(whole)
    event = redact(None, "info", {"event": whole, "nested": {"list": [whole]}})
    assert secret not in json.dumps(event)


@pytest.mark.parametrize(
    "name", ["password", "Authorization", "api_key", "apikey", "smtp_secret", "cookie", "x_token"]
)
def test_a_field_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    assert redact(None, "info", {name: "abc"})[name] == "[redacted]"
    assert redact(None, "info", {"lease_token": 3})["lease_token"] == 3


def test_every_line_of_a_process_is_json_with_its_ids_and_no_secret() -> None:
    code = f"""
import logging, structlog
from aihub import logs
logs.configure("info", "json")
structlog.contextvars.bind_contextvars(request_id="req_1", job_id="job_1")
structlog.get_logger("aihub.api").info("a.thing", key={KEY!r}, half="\\ud800")
logging.getLogger("uvicorn.error").warning("at %s", "postgresql://me:hunter22@db")
logging.getLogger("httpx").info("POST https://hooks.slack.com/services/T/B/zzzz")
try:
    raise ValueError("Bearer abcdefghijkl")
except ValueError:
    structlog.get_logger("aihub.api").exception("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(secret not in done.stderr for secret in ("sssss", "hunter22", "zzzz", "abcdefghijkl"))
    foreign, failed = json.loads(lines[1]), json.loads(lines[2])
    assert foreign["request_id"] == failed["request_id"] == "req_1"
    assert failed["job_id"] == "job_1"
    assert "ValueError" in failed["exception"]
