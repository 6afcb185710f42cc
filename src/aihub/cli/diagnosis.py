"""What one examination of `aihub doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """What one examination found; `mend` is empty where all is well."""

    subject: str
    finding: str
    mend: str = ""
    is_fatal: bool = True

    @property
    def word(self) -> str:
        """One word for the table."""
        if not self.mend:
            return "ok"
        return "broken" if self.is_fatal else "note"
