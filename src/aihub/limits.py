"""How often somebody may ask: a bucket of tokens for each, in the memory of one process.

Several processes behind one address each have their own buckets, so that a limit is one of a process. What has to hold over
the whole hub (jobs at the same time, jobs in a day) is counted in the database and belongs to the tenant's rules.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aihub.errors import TooManyError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

MAX_BUCKETS = 10_000


class RateLimiter:
    """Lets each name through `rate_per_s` times a second on the average and `burst` times at once; a rate of 0 is no limit."""

    def __init__(self, rate_per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._clock = clock
        # Name -> the moment at which its bucket was, or will be, full: one number says all.
        self._full_at: dict[Hashable, float] = {}

    def take(self, name: Hashable, count: int = 1) -> None:
        """Take `count` tokens out of the bucket of `name`; where there are fewer, none is taken.

        Raises
        ------
        TooManyError
            Too few are left; says after how many seconds there will be enough.
        """
        if self.rate_per_s <= 0:
            return
        now = self._clock()
        full_at = max(self._full_at.get(name, now), now) + count / self.rate_per_s
        wait_s = full_at - now - self.burst / self.rate_per_s
        # What rounding leaves is no reason to refuse.
        if wait_s > 1e-9:  # noqa: PLR2004
            seconds = max(1, math.ceil(wait_s))
            raise TooManyError(
                f"more than {self.rate_per_s:g} requests a second; wait {seconds} s, or ask an operator for more",
                retry_after_s=wait_s,
            )
        if len(self._full_at) >= MAX_BUCKETS and name not in self._full_at:
            self._forget_full(now)
        self._full_at[name] = full_at

    def _forget_full(self, now: float) -> None:
        """Let go of full buckets, which are as good as none; where all are in use, of the fuller half."""
        rest = {name: full_at for name, full_at in list(self._full_at.items()) if full_at > now}
        if len(rest) >= MAX_BUCKETS:
            emptiest = sorted(rest.items(), key=lambda item: item[1])[len(rest) // 2 :]
            rest = dict(emptiest)
        self._full_at = rest


class Places:
    """How many of something long may go on at a time, in all and for each name."""

    def __init__(self, total: int, each: int) -> None:
        self.total = total
        self.each = each
        self._taken: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, name: Hashable, what: str, *, retry_after_s: float = 5.0) -> Iterator[None]:
        """Hold a place of `name` for the length of the block.

        Raises
        ------
        TooManyError
            There is none left, of the name or at all.
        """
        with self._lock:
            if self._taken[name] >= self.each:
                message = (
                    f"you follow {self.each} {what} at a time already; end one, or ask an operator for more"
                )
                raise TooManyError(message, retry_after_s=retry_after_s)
            if self._taken.total() >= self.total:
                message = f"{self.total} {what} go on at a time already; wait until one ends"
                raise TooManyError(message, retry_after_s=retry_after_s)
            self._taken[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[name] -= 1
                if not self._taken[name]:
                    del self._taken[name]
