"""What answers for one model in one environment: its champion, and who else is asked."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aihub.serving.answers import CompiledModel
    from aihub.serving.log import Channel

CANARY, SHADOW = "canary", "shadow"
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_WORD = 1 << 32

Key = tuple[str, str, str]
"""Tenant, model, environment."""


@dataclass
class Usage:
    """What a model was asked since the start of the process; plain numbers, because a metric object costs microseconds."""

    requests: int = 0
    rows: int = 0
    refused: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))

    def observe(self, took_s: float) -> None:
        """Count one answered request."""
        self.requests += 1
        self.seconds += took_s
        self.buckets[bisect_left(BUCKETS_S, took_s)] += 1


@dataclass(frozen=True)
class Loaded:
    """A version in memory.

    Attributes
    ----------
    origin
        The version without later actuals; what a new history is put on.
    revision
        Which history it knows.
    channel, shadow_channel
        Where its answers are logged, and those that it gives as a shadow.
    slot
        Of the black box.
    """

    number: int
    semantic: str
    digest: str
    model: CompiledModel
    origin: CompiledModel
    channel: Channel
    shadow_channel: Channel
    slot: int
    revision: Any = None


@dataclass(frozen=True)
class Route:
    """What answers; replaced as a whole, so that a request that has it sees one state from start to end.

    Attributes
    ----------
    sequence
        Of the deployment; 0 where an earlier version stands in for one that cannot be loaded.
    salt
        Makes the share of the canary independent between models.
    """

    key: Key
    sequence: int
    champion: Loaded
    usage: Usage
    challenger: Loaded | None = None
    strategy: str = ""
    share: float = 0.0
    salt: bytes = b""
    quick_rows: int = field(init=False)
    """Rows up to which every version that may be asked answers at once."""

    def __post_init__(self) -> None:
        asked = [one for one in (self.champion, self.challenger) if one is not None]
        object.__setattr__(self, "quick_rows", min(one.model.quick_rows for one in asked))

    def choose(self, subject: str) -> Loaded:
        """Return the version that answers `subject` (a series id or a request id): always the same one at a share.

        A share that grows keeps those that it already had.
        """
        challenger = self.challenger
        if challenger is None or self.strategy != CANARY:
            return self.champion
        place = zlib.crc32(subject.encode("utf-8", "replace"), zlib.crc32(self.salt))
        return challenger if place < self.share * _WORD else self.champion

    @property
    def shadow(self) -> Loaded | None:
        """The version that answers beside, unheard."""
        return self.challenger if self.strategy == SHADOW else None
