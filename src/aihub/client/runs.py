"""Keys of requests that a workflow makes: two runs for one commit ask for one thing, and a person's new run for another."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OF_A_COMMIT = frozenset({"push", "pull_request", "pull_request_target", "merge_group"})
"""Events that mean a commit; any other, such as a schedule, means to do it anew."""


def attempt(environ: Mapping[str, str] | None = None) -> int:
    """Return how often the workflow run was started, 1 where it was once or this is none."""
    text = (os.environ if environ is None else environ).get("GITHUB_RUN_ATTEMPT", "")
    return max(1, int(text)) if text.isdecimal() else 1


def key_of_run(*parts: Any, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the idempotency key of a request of the GitHub Actions run that this is part of; None outside of one.

    For an event that means a commit, every run for that commit has the same key for the same request. For any other event
    each run, and each attempt of it, has its own.

    Parameters
    ----------
    *parts
        What the request is about: everything in it, as JSON. Another content is another key.
    """
    environ = os.environ if environ is None else environ
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    sha, run = environ.get("GITHUB_SHA", ""), environ.get("GITHUB_RUN_ID", "")
    if environ.get("GITHUB_EVENT_NAME") in OF_A_COMMIT and sha:
        origin = f"commit-{sha[:40]}"
    elif run:
        origin = f"run-{run}-{attempt(environ)}"
    else:
        return None
    content = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str).encode()
    return f"github-{origin}-{hashlib.sha256(content).hexdigest()[:32]}"
