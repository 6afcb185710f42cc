"""Every error the hub raises on purpose.

AIHubError
├── InputError            bad input: the message names file, column, row or field and says what to do
│   ├── ConfigError       a specification or setting
│   ├── DataError         a table
│   └── NotFoundError     a name that does not exist
├── ValidationError       a model that cannot be loaded or cannot predict
├── ArtifactError         a model file that is corrupt, tampered with or not allowed
├── UnauthorizedError     no credential, or one that does not count
├── ForbiddenError        a credential that may not do this
├── ConflictError         the state changed under the request
├── StoppedError          somebody asked running work to stop
└── UnavailableError      a service is away; the only branch worth retrying
    ├── StoreAwayError    the bucket of artefacts and data sets; work waits for it
    └── TooManyError      more than a limit allows at once; try again after a while

A failed gate is a result and never an error.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class AIHubError(Exception):
    """Base of the tree: `code` for machines, `http_status` for the API, `exit_code` for the command line."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 3


class InputError(AIHubError):
    """Something the caller sent cannot be used as it is."""

    code = "bad_input"
    http_status = 422
    exit_code = 2


class ConfigError(InputError):
    """A specification or setting is wrong.

    Attributes
    ----------
    field
        Dotted path of the field, or None where the whole document is meant.
    """

    code = "bad_config"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class DataError(InputError):
    """A table cannot be used; says where.

    Attributes
    ----------
    file, column, row
        Where the fault is, as far as it can be told. `row` is the 1-based line of data (the header is not counted).
    """

    code = "bad_data"

    def __init__(
        self, message: str, *, file: str | None = None, column: str | None = None, row: int | None = None
    ) -> None:
        where = ", ".join(
            part
            for part in (
                f"file {file!r}" if file else "",
                f"column {column!r}" if column else "",
                f"row {row}" if row is not None else "",
            )
            if part
        )
        super().__init__(f"{where}: {message}" if where else message)
        self.file = file
        self.column = column
        self.row = row


class NotFoundError(InputError):
    """A name does not exist; the message offers the nearest one that does."""

    code = "not_found"
    http_status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(f"no {kind} {name!r}.{did_you_mean(name, known)}")
        self.kind = kind
        self.name = name


class ValidationError(AIHubError):
    """A model cannot be loaded or cannot predict, so that there is nothing to validate."""

    code = "cannot_validate"
    http_status = 422
    exit_code = 2


class ArtifactError(AIHubError):
    """A model file is corrupt, was changed, or holds what is not allowed."""

    code = "bad_artifact"
    http_status = 422
    exit_code = 2


class UnauthorizedError(AIHubError):
    """There is no credential, or it is unknown, expired or revoked; the message never says which."""

    code = "unauthorized"
    http_status = 401
    exit_code = 2


class ForbiddenError(AIHubError):
    """The credential is good, but may not do this."""

    code = "forbidden"
    http_status = 403
    exit_code = 2


class ConflictError(AIHubError):
    """Somebody else changed the state first; read it again and decide anew."""

    code = "conflict"
    http_status = 409
    exit_code = 2


class StoppedError(AIHubError):
    """Somebody asked the work to stop before it was done; nothing was saved."""

    code = "stopped"
    http_status = 409
    exit_code = 130


class UnavailableError(AIHubError):
    """A service that the hub needs does not answer; try again later."""

    code = "unavailable"
    http_status = 503


class StoreAwayError(UnavailableError):
    """The bucket of artefacts and data sets does not answer, or does not let the hub in; jobs wait for it."""


class TooManyError(UnavailableError):
    """More than a limit or quota allows at once.

    Attributes
    ----------
    retry_after_s
        Seconds after which another try may succeed.
    """

    code = "too_many"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


MAX_COMPARED, MAX_COMPARED_CHARS = 500, 100


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, the whole list where it is short, else nothing.

    >>> did_you_mean("algoritm", ["algorithm", "target"])
    " Did you mean 'algorithm'?"
    >>> did_you_mean("load", ["LOAD", "road"])
    " Did you mean 'LOAD'?"
    """
    names = sorted(set(known))
    # Comparing takes time by the product of the lengths, and both may be a stranger's.
    likely = [one for one in names if len(one) <= MAX_COMPARED_CHARS]
    likely = sorted(likely, key=lambda one: abs(len(one) - len(name)))[:MAX_COMPARED]
    name = name[:MAX_COMPARED_CHARS]
    folded = {one.casefold(): one for one in likely}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f" Did you mean {folded[near[0]]!r}?"
    if 0 < len(names) <= 12:  # noqa: PLR2004 - a longer list is noise in a message
        return f" Known: {', '.join(one[:MAX_COMPARED_CHARS] for one in names)}."
    return ""
