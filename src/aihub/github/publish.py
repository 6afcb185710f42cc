"""Put what people see where they see it: the comment of a pull request, updated in place, and a check of the commit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.errors import AIHubError, ConfigError
from aihub.github.client import GitHubClient
from aihub.validation.report.markdown import MARKER

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run of a workflow, as its environment describes it.

    Attributes
    ----------
    sha
        Commit that a check belongs to: of a pull request its head, not the merge that was tried.
    pull_request
        Its number, None for another event.
    """

    repository: str
    run_id: str
    server_url: str
    api_url: str
    sha: str
    pull_request: int | None
    summary_file: Path | None
    token: str

    @classmethod
    def current(cls, environ: Mapping[str, str] | None = None) -> Run:
        """Read the environment of a step.

        Raises
        ------
        ConfigError
            This is no step of GitHub Actions.
        """
        environ = os.environ if environ is None else environ
        missing = [
            name for name in ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_SHA") if not environ.get(name)
        ]
        if missing:
            message = f"{missing[0]} is not set: this is no step of GitHub Actions; leave --github out"
            raise ConfigError(message, field=missing[0])
        pull = _pull_request(environ.get("GITHUB_EVENT_PATH", ""))
        summary = environ.get("GITHUB_STEP_SUMMARY")
        return cls(
            repository=environ["GITHUB_REPOSITORY"],
            run_id=environ["GITHUB_RUN_ID"],
            server_url=environ.get("GITHUB_SERVER_URL", "https://github.com"),
            api_url=environ.get("GITHUB_API_URL", "https://api.github.com"),
            sha=str(pull.get("head", {}).get("sha") or environ["GITHUB_SHA"]),
            pull_request=pull.get("number"),
            summary_file=Path(summary) if summary else None,
            token=environ.get("GITHUB_TOKEN", ""),
        )

    @property
    def report_url(self) -> str:
        """Address of the run's artifacts, where the full reports are."""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}#artifacts"


def publish(run: Run, comment: str, check: Mapping[str, Any]) -> list[str]:
    """Write the comment (of a pull request) and the check; return what could not be written and why.

    A pull request from a fork has a token that only reads: the summary and the annotations are there all the same, so
    that nothing here decides about success.
    """
    if not run.token:
        return ["no comment and no check: GITHUB_TOKEN is not set"]
    client = GitHubClient(run.api_url, token=run.token)
    faults = []
    for what, write in (
        ("comment", lambda: update_comment(client, run.repository, run.pull_request, comment)),
        ("check", lambda: client.send("POST", f"/repos/{run.repository}/check-runs", dict(check))),
    ):
        try:
            write()
        except AIHubError as error:
            faults.append(f"no {what}: {error}")
    return faults


def update_comment(client: GitHubClient, repository: str, number: int | None, body: str) -> None:
    """Write the one comment of ours below a pull request: a new one where there is none yet. Idempotent."""
    if number is None:
        return
    for comment in client.pages(f"/repos/{repository}/issues/{number}/comments"):
        # Anybody can write the marker into a comment of their own; theirs is left alone.
        is_ours = (comment.get("user") or {}).get("type") == "Bot"
        if is_ours and str(comment.get("body", "")).startswith(MARKER):
            if comment["body"] != body:
                client.send("PATCH", f"/repos/{repository}/issues/comments/{comment['id']}", {"body": body})
            return
    client.send("POST", f"/repos/{repository}/issues/{number}/comments", {"body": body})


def _pull_request(path: str) -> dict[str, Any]:
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    pull = event.get("pull_request") if isinstance(event, dict) else None
    return pull if isinstance(pull, dict) and isinstance(pull.get("number"), int) else {}
