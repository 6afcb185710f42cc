"""What is told, before any channel has given it a form."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aihub.types import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TITLE = 150
MAX_TEXT = 2000
MAX_FACTS = 20


class Severity(StrEnum):
    """How urgent a notice is; the order is that of urgency."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the least urgent."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True)
class Link:
    """Somewhere to go on: `style` is ``primary`` or ``danger`` for what decides something, empty to look."""

    label: str
    url: str
    style: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One thing that happened.

    Attributes
    ----------
    key
        The same for the same happening, however often it is told: receivers drop what they have seen.
    event
        Past participle, such as ``model.rolled_back`` or ``approval.requested``.
    facts
        Label and value, in the order of importance: verdict, metrics against the champion, who, why.
    links
        Where a person can look and decide.
    """

    key: str
    tenant: str
    event: str
    severity: Severity
    title: str
    at: datetime
    model: str = ""
    environment: str = ""
    text: str = ""
    facts: Sequence[tuple[str, str]] = ()
    links: Sequence[Link] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `from_dict` reads it back."""
        return {
            **vars(self),
            "severity": self.severity.value,
            "at": iso(self.at),
            "facts": [list(fact) for fact in self.facts],
            "links": [vars(link) for link in self.links],
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Notice:
        """Read what `to_dict` wrote."""
        return cls(
            **{
                **document,
                "severity": Severity(document["severity"]),
                "at": datetime.fromisoformat(document["at"]),
                "facts": [(label, value) for label, value in document["facts"]],
                "links": [Link(**link) for link in document["links"]],
            }
        )

    def shortened(self) -> Notice:
        """Cut what no channel would show: titles, texts and lists have limits everywhere.

        Title and facts become a line each, so that nothing that a user wrote reads as a fact of ours.
        """
        return Notice(
            key=self.key,
            tenant=self.tenant,
            event=self.event,
            severity=self.severity,
            title=_line(self.title, MAX_TITLE),
            at=self.at,
            model=self.model,
            environment=self.environment,
            text=_cut("\n".join(_line(line, MAX_TEXT) for line in self.text.split("\n")), MAX_TEXT),
            facts=[(_line(label, 80), _line(value, 400)) for label, value in list(self.facts)[:MAX_FACTS]],
            links=self.links,
            details=self.details,
        )


def _line(text: str, limit: int) -> str:
    r"""Return a text as one line without controls, overrides of its direction and halves of characters.

    >>> _line("fine\nGate: passed\u202e \x1b[1m", 80)
    'fine Gate: passed [1m'
    """
    shown = "".join(character if character.isprintable() else " " for character in text)
    return _cut(" ".join(shown.split()), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def digest_of(notices: Sequence[Notice], *, key: str, at: datetime) -> Notice:
    """Fold several notices into one: a line each, as urgent as the most urgent of them."""
    worst = max((notice.severity for notice in notices), key=lambda severity: severity.rank)
    shown = notices[:MAX_FACTS]
    more = len(notices) - len(shown)
    return Notice(
        key=key,
        tenant=notices[0].tenant,
        event="digest",
        severity=worst,
        title=f"{len(notices)} notices",
        at=at,
        text=f"and {more} more" if more else "",
        facts=[(f"{notice.at:%Y-%m-%d %H:%M} UTC", notice.title) for notice in shown],
    )
