"""Semantic versions, computed from lineage and never typed; names and version references. Pure.

*Major* when the contract changes (what a caller sends and gets), *minor* when the recipe changes (configuration or
algorithm), *patch* when neither did: the data is newer, or the same was trained again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from aihub.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SHORTEST_COMMIT = 7

CONTRACT_FIELDS = (
    "model_type",
    "features",
    "target",
    "horizon",
    "timestamp",
    "series_id",
    "frequency",
    "known_future",
    "labels",
)
"""Fields of the configuration that a caller notices."""
DATA_FIELDS = ("training_start", "training_end")
"""Fields that say which data, not how."""
INCIDENTAL_FIELDS = ("threads", "compute")
"""Fields that change where and how fast the work runs, not what comes out."""


class SemanticVersion(NamedTuple):
    """Major, minor, patch; compares as versions do."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> SemanticVersion:
        """Read ``v1.2.3`` or ``1.2.3``.

        Raises
        ------
        InputError
            `text` is of another form.
        """
        match = re.fullmatch(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})", text, re.ASCII)
        if not match:
            raise InputError(f"{text!r} is not a version such as 'v1.2.3'")
        return cls(*(int(part) for part in match.groups()))


FIRST = SemanticVersion(1, 0, 0)


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides the next version: digests of contract and recipe."""

    contract: str
    recipe: str


def canonical_json(value: Any) -> bytes:
    """Return the one JSON form of `value`: sorted keys, no spaces, UTF-8.

    Raises
    ------
    InputError
        A number is NaN or infinite, or something is not JSON.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"this cannot be written as JSON: {error}; use finite numbers, texts and lists"
        ) from error


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def identity(config: Mapping[str, Any]) -> Identity:
    """Split a configuration into contract and recipe; fields with value None count as absent.

    A new optional field of a newer hub therefore changes no version until somebody sets it.
    """
    given = {name: value for name, value in config.items() if value is not None}
    contract = {name: given[name] for name in CONTRACT_FIELDS if name in given}
    left_out = {*CONTRACT_FIELDS, *DATA_FIELDS, *INCIDENTAL_FIELDS}
    recipe = {name: value for name, value in given.items() if name not in left_out}
    return Identity(digest_of(contract), digest_of(recipe))


def following(
    previous: SemanticVersion | None,
    before: Identity | None,
    after: Identity,
    is_taken: Callable[[SemanticVersion], bool] = lambda _: False,
) -> SemanticVersion:
    """Return the version that comes after `previous`, whose lineage was `before`, and is not taken.

    A number is taken where a version that its gate rejected has it: it keeps its number and is followed by nothing.

    >>> str(following(SemanticVersion(1, 2, 3), Identity("a", "b"), Identity("a", "c")))
    'v1.3.0'
    """
    if previous is None or before is None:
        return FIRST
    found = previous
    while found == previous or is_taken(found):
        if before.contract != after.contract:
            found = SemanticVersion(found.major + 1, 0, 0)
        elif before.recipe != after.recipe:
            found = SemanticVersion(found.major, found.minor + 1, 0)
        else:
            found = SemanticVersion(found.major, found.minor, found.patch + 1)
    return found


def check_name(name: str, *, kind: str = "model") -> str:
    """Return `name` when it may name a model, an environment or a tenant.

    Raises
    ------
    InputError
        It does not match ``[a-z0-9][a-z0-9._-]{0,63}``.
    """
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    shown = str(name)[:80]
    hint = f"; did you mean {shown.lower()!r}?" if NAME.fullmatch(shown.lower()) else ""
    message = "use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
    raise InputError(f"{kind} name {shown!r}: {message}{hint}")


class Referable(Protocol):
    """What a reference can be resolved to."""

    @property
    def number(self) -> int:
        """Number within the model."""
        ...

    @property
    def semantic(self) -> SemanticVersion:
        """Semantic version."""
        ...

    @property
    def git_commit(self) -> str | None:
        """Commit that it was trained from."""
        ...


VersionT = TypeVar("VersionT", bound=Referable)


def resolve(reference: str | int, versions: Sequence[VersionT], *, model: str) -> VersionT:
    """Find the one version that `reference` means: a number, ``v1.2.3``, or a git commit (7 digits or more).

    Text of digits only is a number, unless it is too long for one and reads as a commit.

    Raises
    ------
    NotFoundError
        No version matches.
    InputError
        A commit stands for several versions, or the reference has no known form.
    """
    text = str(reference).strip()
    known = [str(v.semantic) for v in versions]
    if re.fullmatch(r"v?\d+\.\d+\.\d+", text, re.ASCII):
        wanted = SemanticVersion.parse(text)
        found = [v for v in versions if v.semantic == wanted]
    elif re.fullmatch(r"\d{1,9}", text, re.ASCII) and any(v.number == int(text) for v in versions):
        found = [v for v in versions if v.number == int(text)]
    elif re.fullmatch(r"[0-9a-fA-F]{7,64}", text):
        found = [v for v in versions if v.git_commit and v.git_commit.startswith(text.lower())]
    elif re.fullmatch(r"\d{1,9}", text, re.ASCII):
        found = []
    else:
        message = f"a number (3), 'v1.2.3' or at least {SHORTEST_COMMIT} digits of a git commit"
        raise InputError(f"{text[:80]!r} does not name a version of {model!r}; give {message}")
    if not found:
        raise NotFoundError(f"version of model {model!r} called", text, known)
    if len(found) > 1:
        names = ", ".join(str(v.semantic) for v in found[:10])
        raise InputError(
            f"{text!r} stands for {len(found)} versions of {model!r}: {names}; give one of these"
        )
    return found[0]
