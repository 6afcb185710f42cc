"""Where a version comes from: data, code, configuration, environment, and who asked."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from aihub.errors import InputError
from aihub.registry.versioning import Identity, digest_of, identity
from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PACKAGES = ("aihub", "lightgbm", "xgboost", "xgboost-cpu", "numpy", "polars", "scikit-learn")
"""Packages that can change what a model answers."""
GIT_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Everything that is needed to tell two versions apart, and to train one again.

    Attributes
    ----------
    config
        The training configuration, JSON-able and complete.
    data
        Fingerprint of the training table: ``sha256``, ``rows``, ``start``, ``end``.
    git_commit, git_dirty
        Commit of the working folder, and whether it had changes that were not committed; None where there is no git.
    packages
        Version by package name, and ``python``.
    requested_by
        Who asked.
    created_at
        When, aware UTC.
    """

    config: Mapping[str, Any]
    data: Mapping[str, Any]
    seed: int | None
    requested_by: str
    created_at: datetime
    git_commit: str | None = None
    git_dirty: bool | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    config_hash: str = ""

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is None:
            raise InputError("created_at of a lineage has no time zone; pass an aware UTC time")
        computed = digest_of(dict(self.config))
        if self.config_hash and self.config_hash != computed:
            raise InputError(
                "config_hash of the lineage does not belong to its config; leave it out to compute it"
            )
        object.__setattr__(self, "config_hash", computed)

    @property
    def identity(self) -> Identity:
        """What decides the semantic version."""
        return identity(self.config)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `from_dict` reads it back."""
        return {
            **asdict(self),
            "config": dict(self.config),
            "data": dict(self.data),
            "packages": dict(self.packages),
            "created_at": iso(self.created_at),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Lineage:
        """Read what `to_dict` wrote.

        Raises
        ------
        InputError
            A field is missing, unknown or of another type.
        """
        try:
            created_at = datetime.fromisoformat(document["created_at"])
            return cls(**{**document, "created_at": created_at})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is not a lineage: {error!r}") from error


def collect(
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    requested_by: str,
    now: datetime,
    folder: Path | None = None,
    git: tuple[str | None, bool | None] | None = None,
) -> Lineage:
    """Describe a training: `config` and `data` as given, commit of `folder`, versions of the packages. Reads only.

    `git` is commit and whether there were changes, for a caller who knows: `folder` is not looked at then.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> lineage = collect({"algorithm": "lgbm", "seed": 7}, {"rows": 10}, requested_by="ci", now=datetime.now(UTC))
    >>> lineage.seed, len(lineage.config_hash)
    (7, 64)
    """
    commit, is_dirty = git_state(folder) if git is None else git
    seed = config.get("seed")
    return Lineage(
        config=dict(config),
        data=dict(data),
        seed=seed if isinstance(seed, int) else None,
        requested_by=requested_by,
        created_at=now,
        git_commit=commit,
        git_dirty=is_dirty,
        packages=packages(),
    )


def packages() -> dict[str, str]:
    """Version of each installed package that can change a model, and of Python."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path | None = None) -> tuple[str | None, bool | None]:
    """Commit of `folder` and whether tracked files were changed; (None, None) without git or outside a repository."""
    commit = run_git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None, None
    status = run_git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if status is None else bool(status)


def run_git(folder: Path | None, *arguments: str) -> str | None:
    """Return what git prints in `folder`, stripped; None where it fails, is missing or hangs."""
    # The repository belongs to the user, its hooks and monitors do not run for us.
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
