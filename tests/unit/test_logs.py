from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from aihub.logs import MAX_TEXT, redact, without_secrets

KEY = "hub_0123456789abcdef_" + "s" * 43
SECRETS = {
    "a key": (f"key {KEY} used", "s" * 20),
    "a credential of a workflow": ("hubgh_0123456789abcdef_" + "g" * 43, "g" * 20),
    "a bearer": ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
    "a password in an address": ("postgresql://me:hunter22@db/x is away", "hunter22"),
    "a webhook": ("POST https://hooks.slack.com/services/T0/B0/zzzz", "zzzz"),
    "a token of GitHub": ("ghp_" + "a" * 36, "aaaa"),
    "a JWT": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig-nature", "sig-nature"),
    "a password behind an odd scheme": (f"{'x' * 300}+y.z://me:hunter22@db", "hunter22"),
    "a query": ("GET /x?access_token=qqqq&b=1", "qqqq"),
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_taken_out_of_a_text(text: tuple[str, str]) -> None:
    whole, secret = text
    assert secret not in without_secrets(whole)
    event = redact(None, "info", {"event": whole, "nested": {"list": [whole]}})
    assert secret not in json.dumps(event)


@pytest.mark.parametrize(
    "piece", ["a", "a.", "a-", "eyJ-", "eyJaaaaaaaa.", "?token", "&a_", "ghp_", "bearer ", "x://"]
)
def test_no_text_of_a_stranger_takes_long(piece: str) -> None:
    """The address of every request is looked through where all others wait: a second each would be the end of the hub."""
    began = time.process_time()
    without_secrets("&" + piece * (MAX_TEXT // len(piece)))
    assert time.process_time() - began < 0.3


@pytest.mark.parametrize(
    "name", ["password", "Authorization", "api_key", "apikey", "smtp_secret", "cookie", "x_token"]
)
def test_a_field_with_the_name_of_a_secret_is_hidden(name: str) -> None:
    assert redact(None, "info", {name: "abc"})[name] == "[redacted]"
    assert redact(None, "info", {"lease_token": 3})["lease_token"] == 3


def test_what_a_stranger_sent_moves_no_cursor_and_makes_no_line() -> None:
    code = """
import logging, structlog
from aihub import logs
logs.configure("info", "console")
structlog.get_logger("x").info("request.answered", path="/" + chr(27) + "]0;x" + chr(7) + chr(0x202e))
logging.getLogger("y").warning("odd %s", "one" + chr(10) + "2026-01-01 [info] forged")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert len(done.stderr.splitlines()) == 2
    assert r"/\x1b]0;x\x07\u202e" in done.stderr
    assert "\x1b]" not in done.stderr


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
