"""The tag that says in a repository which commit's model was deployed: `model/NAME/v1.2.3`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aihub.errors import ConflictError, UnavailableError
from aihub.registry.lineage import run_git
from aihub.registry.versioning import SemanticVersion, check_name

if TYPE_CHECKING:
    from pathlib import Path

NO_CHECKOUT = "this is no checkout"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Tag:
    """A tag and whether it was made now; an empty name means that there was nothing to tag, for the reason given."""

    name: str
    is_new: bool = False
    reason: str = ""


def tag_commit(folder: Path, *, model: str, semantic: str, commit: str | None, message: str) -> Tag:
    """Tag `commit` in the repository of `folder` as the one whose model was deployed. Idempotent; never pushes.

    Raises
    ------
    ConflictError
        The tag is there and names another commit.
    UnavailableError
        git refuses; the message is its own.
    """
    check_name(model)
    name = f"model/{model}/{SemanticVersion.parse(semantic)}"
    if run_git(folder, "rev-parse", "--git-dir") is None:
        return Tag("", reason=NO_CHECKOUT)
    if commit is None or not COMMIT.fullmatch(commit):
        return Tag("", reason="the version names no commit")
    if run_git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return Tag("", reason=f"commit {commit[:12]} is not in this checkout; fetch its history")
    there = run_git(folder, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
    if there == commit:
        return Tag(name)
    if there:
        raise ConflictError(
            f"tag {name!r} is at {there[:12]}, not at {commit[:12]}; a version's commit never changes, look why"
        )
    # Who tags is a program; a person's name and mail are not needed and often not set on a runner.
    identity = ("-c", "user.name=aihub", "-c", "user.email=aihub@localhost", "-c", "tag.gpgSign=false")
    if run_git(folder, *identity, "tag", "--annotate", "--message", message, name, commit) is None:
        raise UnavailableError(f"git refused to make tag {name!r}; try: git tag -a {name} {commit}")
    return Tag(name, is_new=True)
