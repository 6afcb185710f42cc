"""What no row names, put aside in the bucket before it is deleted.

A file is stored before its row is written, and between a look at the rows and the deletion of an object somebody may store
the same content again. So nothing is deleted at once: it lies under another name for a week, from where whoever asks for it,
and the next sweep, brings it back if a row has come to name it.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from aihub.registry.objects import Found, Objects

KEPT_FOR = timedelta(days=7)
"""Age at which what no row names is put aside, and time after that until it is deleted: longer than any job takes from its
model to its row, an outage of the database in between included."""
ASIDE = ".trash/"
PROBES = ".probe/"
MAX_COPY_BYTES = 5 << 30
"""A store copies no larger object in one request; such an orphan is left."""
AT_ONCE = 500
_CONTENT = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}(\.[a-z]+)?")
"""Keys that a hub makes; what else lies here, such as the prefix of a hub inside this one's, is somebody else's."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trash:
    """The part of a bucket where orphans wait for their end."""

    objects: Objects

    def restore(self, key: str) -> bool:
        """Put an object back that was put aside; whether there was one."""
        try:
            self.objects.copy(ASIDE + key, key)
        except FileNotFoundError:
            return False
        return True

    def sweep(self, named: Callable[[list[str]], set[str]], now: datetime) -> int:
        """Put aside what is old and not named, bring back what is, and delete what was put aside long ago.

        Idempotent; a sweep that is killed, or beside another, loses nothing.

        Parameters
        ----------
        named
            Returns those of some digests that a row names.

        Returns
        -------
        How many objects were put aside or deleted.
        """
        until = now - KEPT_FOR
        # First: what is put aside now stays until the next sweep at least, whatever the clocks say.
        moved = self._empty(named, until)
        orphans = (found for found in self.objects.list() if _is_content(found) and found.modified_at < until)
        for found in _not_in(orphans, named, prefix=""):
            moved += self._put_aside(found)
        for found in self.objects.list(PROBES):
            if found.modified_at < until:
                self.objects.delete(found.key)
        return moved

    def _empty(self, named: Callable[[list[str]], set[str]], until: datetime) -> int:
        """Bring back what is named, and delete what has lain here for long."""
        aside, deleted = list(self.objects.list(ASIDE)), 0
        orphaned = {found.key for found in _not_in(aside, named, prefix=ASIDE)}
        for found in aside:
            if found.key not in orphaned:
                self._bring_back(found.key)
            elif found.modified_at < until:
                self.objects.delete(found.key)
                deleted += 1
        return deleted

    def _put_aside(self, found: Found) -> bool:
        if found.size_bytes > MAX_COPY_BYTES:
            _LOG.warning(
                "%s/%s is named by no row and too large to be put aside", self.objects.address, found.key
            )
            return False
        with suppress(FileNotFoundError):  # another sweep was here
            self.objects.copy(found.key, ASIDE + found.key)
            self.objects.delete(found.key)
            return True
        return False

    def _bring_back(self, key: str) -> None:
        name = key.removeprefix(ASIDE)
        if not self.objects.has(name):
            self.restore(name)
        self.objects.delete(key)


def _is_content(found: Found) -> bool:
    return _CONTENT.fullmatch(found.key) is not None


def _not_in(
    founds: Iterable[Found], named: Callable[[list[str]], set[str]], *, prefix: str
) -> Iterator[Found]:
    rest = iter(founds)
    while some := list(islice(rest, AT_ONCE)):
        digests = {
            found.key: found.key.removeprefix(prefix).rpartition("/")[2].partition(".")[0] for found in some
        }
        known = named(sorted(set(digests.values())))
        yield from (found for found in some if digests[found.key] not in known)
