"""Lists in pages: what comes next is named by an opaque cursor, so that new rows do not shift the pages."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel, Field

from aihub.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
Row = TypeVar("Row")
MAX_LIMIT = 500
_MAX_POSITION = 2**62

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items of one page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=400, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before."),
]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T] = Field(description="The items, in the order that the list promises.")
    next: str | None = Field(default=None, description="Cursor of the next page; null at the end.")


def encode(kind: str, position: int | str) -> str:
    """Return the cursor that stands behind `position` of a list.

    >>> decode("jobs", encode("jobs", 7))
    7
    """
    return base64.urlsafe_b64encode(orjson.dumps([kind, position])).decode().rstrip("=")


def decode(kind: str, cursor: str | None) -> int | None:
    """Return the number that a cursor stands behind.

    Raises
    ------
    InputError
        It is not a cursor of this list.
    """
    found = _decoded(kind, cursor)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MAX_POSITION:
        return found
    if found is None:
        return None
    raise InputError("cursor is not one of this list; leave it out to begin again")


def decode_name(kind: str, cursor: str | None) -> str | None:
    """Return the name that a cursor stands behind; raises as `decode` does."""
    found = _decoded(kind, cursor)
    if found is None or (isinstance(found, str) and "\0" not in found):
        return found
    raise InputError("cursor is not one of this list; leave it out to begin again")


def _decoded(kind: str, cursor: str | None) -> object:
    if not cursor:
        return None
    try:
        name, position = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error):
        name, position = "", None
    if name != kind or position is None:
        raise InputError("cursor is not one of this list; leave it out to begin again")
    return position


def cut(
    kind: str, rows: Sequence[Row], limit: int, position: Callable[[Row], int | str]
) -> tuple[list[Row], str | None]:
    """Split `limit` + 1 rows that were asked for into a page and the cursor of the next one."""
    page = list(rows[:limit])
    return page, encode(kind, position(page[-1])) if len(rows) > limit else None
