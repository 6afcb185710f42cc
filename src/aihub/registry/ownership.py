"""Whose bucket it is: a mark in it, made from the key that all processes of a hub share.

Two hubs with one bucket would each sweep what only the other's rows name. So the first one that writes leaves its mark, and
nobody with another key writes or sweeps there.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from aihub.registry.objects import Objects
    from aihub.settings import Settings

MARK = ".hub"


@dataclass
class Owner:
    """The hub of the settings, as its marks name it; says nothing of its key."""

    settings: Settings = field(repr=False)
    _has_claimed: bool = field(default=False, repr=False)

    def claim(self, objects: Objects) -> None:
        """Leave the mark where there is none; asks the bucket once in the life of a process.

        Raises
        ------
        ConfigError
            There is another hub's.
        UnavailableError
            The bucket does not answer.
        """
        if self._has_claimed:
            return
        if self.check(objects) != self._marks()[-1]:
            objects.write(MARK, self._marks()[-1])
            self.check(objects)
        self._has_claimed = True

    def check(self, objects: Objects) -> bytes | None:
        """Return the mark, which is this hub's, or None where there is none yet. Raises as `claim`."""
        found = objects.read(MARK)
        if found is not None and found not in self._marks():
            message = (
                f"{objects.address} is marked as another hub's (AIHUB_AUDIT_KEY differs); give this one a prefix of its own in "
                f"AIHUB_ARTIFACTS, or the key of the fleet. Where the other is gone for good remove the object {MARK!r}"
            )
            raise ConfigError(message, field="artifacts")
        return found

    def _marks(self) -> list[bytes]:
        keys = [*self.settings.read_older_audit_keys(), self.settings.read_audit_key()]
        return [hmac.digest(key, b"aihub.bucket", "sha256").hex().encode() for key in keys]
