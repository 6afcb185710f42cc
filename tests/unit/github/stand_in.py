"""A stand-in for GitHub's token issuer: a key pair of our own and tokens that are good until a test spoils them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from aihub.errors import UnauthorizedError
from aihub.github.keys import read_keys

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AUDIENCE = "https://hub.example.com"
WORKFLOW = "acme/load/.github/workflows/model-training.yml@refs/heads/main"
_ids = count(1)


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
        "sha": "c0ffee" * 6 + "beef",
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
