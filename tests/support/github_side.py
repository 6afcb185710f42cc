"""A stand-in for GitHub's token issuer: a key pair of our own and tokens that are good until a test spoils them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from aihub.errors import UnauthorizedError
from aihub.github.keys import read_keys

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AUDIENCE = "https://hub.example.com"
WORKFLOW = "acme/load/.github/workflows/model-training.yml@refs/heads/main"
_ids = count(1)
SECRET = b"webhook secret"
API = "https://api.github.com"
SHA = "c0ffee" * 6 + "beef"


def claims(**changes: Any) -> dict[str, Any]:
    """What a job on main in the environment production says; `None` takes a claim away."""
    now = int(NOW.timestamp())
    good = {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": AUDIENCE,
        "sub": "repo:acme@7/load@42:environment:production",
        "jti": f"jti-{next(_ids)}",
        "iat": now - 5,
        "nbf": now - 600,
        "exp": now + 295,
        "repository": "acme/load",
        "repository_id": "42",
        "repository_owner_id": "7",
        "ref": "refs/heads/main",
        "sha": SHA,
        "event_name": "push",
        "environment": "production",
        "job_workflow_ref": WORKFLOW,
        "run_id": "900",
        "run_attempt": "1",
        "actor": "alice",
        "actor_id": "11",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@dataclass
class Issuer:
    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    key_id: str = "key-1"

    def token(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        return jwt.encode(claims(**changes), self.key, "RS256", {"kid": self.key_id, **(header or {})})

    def jwks(self) -> bytes:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}).encode()

    def find(self, key_id: str) -> Any:
        found = read_keys(self.jwks()).get(key_id)
        if found is None:
            raise UnauthorizedError("unknown key")
        return found


REVIEWERS = [
    {"state": "approved", "user": {"login": "bob", "id": 12}, "environments": [{"name": "production"}]}
]


class GitHubApi:
    """A stand-in for GitHub's API over real HTTP: keeps comments, and every request for a test to look at."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        """Answers to give before anything else: status, headers, body."""
        outer = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                outer.requests.append((self.command, self.path, body))
                status, headers, answer = (
                    outer.answers.pop(0) if outer.answers else outer.answer(self.command, self.path, body)
                )
                content = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_GET  # noqa: N815 - the names that the server calls

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
        where, _, query = path.partition("?")
        last = where.rpartition("/")[2]
        if (method, last) == ("POST", "comments"):
            self.comments.append({"id": len(self.comments) + 1, "user": {"type": "Bot"}, **body})
        if method == "PATCH":
            self.comments[int(last) - 1].update(body)
        if (method, last) == ("GET", "comments"):
            page = int(query.rpartition("page=")[2])
            return 200, {}, self.comments[100 * (page - 1) : 100 * page]
        fixed = {
            "access_tokens": (201, {}, {"token": "ghs_installation"}),
            "approvals": (200, {}, REVIEWERS),
            "deployment_protection_rule": (204, {}, None),
        }
        return fixed.get(last, (201, {}, {"id": 1}))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def body(**changes: Any) -> bytes:
    event = {
        "action": "requested",
        "environment": "production",
        "deployment_callback_url": f"{API}/repos/acme/load/actions/runs/900/deployment_protection_rule",
        "deployment": {"id": 55, "sha": SHA, "ref": "main"},
        "repository": {"id": 42, "full_name": "acme/load"},
        "installation": {"id": 5},
        "sender": {"login": "alice"},
    }
    return json.dumps({**event, **changes}).encode()


def signed(content: bytes, secret: bytes = SECRET) -> str:
    return "sha256=" + hmac.new(secret, content, hashlib.sha256).hexdigest()


class TokenService:
    """The runner's own service: gives the job that runs now its token, as an address and a key in its environment."""

    def __init__(self, issuer: Issuer) -> None:
        self.claims: dict[str, Any] = {}
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                is_ours = self.headers["authorization"] == "Bearer runner" and query["api-version"] == ["2.0"]
                now = int(time.time())
                times = {"iat": now, "nbf": now, "exp": now + 300}
                token = issuer.token(aud=query["audience"][0], **times, **outer.claims)
                content = json.dumps({"count": len(token), "value": token}).encode()
                self.send_response(200 if is_ours else 401)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def authorize(self, claims: dict[str, Any]) -> dict[str, str]:
        """Return the variables of a job with these claims."""
        self.claims = claims
        url = f"http://127.0.0.1:{self.server.server_port}/token?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner"}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
