"""Every prediction on its way to the disk: a bounded queue that nobody waits for, and a thread that writes it in batches.

A prediction is written at most `FLUSH_S` plus one write after it was answered: what a `kill -9` or a power cut takes is
what was answered in the last 200 milliseconds. Nothing else is ever lost in silence. Where the database is away the
queue grows up to its capacity, then predictions are refused (503 with Retry-After) and counted until it is back.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from aihub.errors import UnavailableError
from aihub.monitoring.predictions import PredictionBatch, PredictionIds
from aihub.serving.batches import of_blocks, of_rows
from aihub.serving.rules import LogRules, Veil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aihub.serving.answers import Answer
    from aihub.serving.contract import Contract, Rows

    Sink = Callable[[Sequence[PredictionBatch]], None]

FLUSH_S = 0.15
"""Longest time that a prediction waits for the writer."""
CAPACITY_ROWS = 100_000
"""Predictions that may wait; beyond, requests are refused."""
RETRY_S = 0.5
_SPREAD = 2654435761
_WORD = 1 << 32


@dataclass(eq=False)
class Channel:
    """What one version has answered and what is not written yet; only `PredictionLog` touches the lists."""

    tenant: str
    model: str
    version: int
    contract: Contract
    veil: Veil
    is_heard: bool = True
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    blocks: list[tuple[Any, Rows, Answer]] = field(default_factory=list)

    def take(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, Rows, Answer]]]:
        """Empty both lists; under the log's lock."""
        taken = self.rows, self.blocks
        self.rows, self.blocks = [], []
        return taken


@dataclass
class Counts:
    """What happened to predictions since the start; rows."""

    written: int = 0
    refused: int = 0
    not_sampled: int = 0
    lost: int = 0
    """Rows that the database refused for good, each with an entry in the process's log."""


class PredictionLog:
    """Takes answers, and writes them to `sink` in batches.

    Parameters
    ----------
    sink
        Writes batches durably before it returns: `aihub.monitoring.observations.Observations.ingest_predictions`.
    capacity
        Rows that may wait.
    on_error
        Told of every batch that could not be written.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        capacity: int = CAPACITY_ROWS,
        flush_s: float = FLUSH_S,
        on_error: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self._sink = sink
        self._capacity = capacity
        self._flush_s = flush_s
        self._on_error = on_error
        self._lock = threading.Lock()
        self._channels: dict[int, Channel] = {}
        self._held: list[PredictionBatch] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.ids = PredictionIds()
        self.pending = 0
        self.counts = Counts()
        self.last_error: str | None = None

    def start(self) -> None:
        """Start the writer."""
        self._thread = threading.Thread(target=self._run, name="aihub-prediction-log", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Write what waits and stop; what the database has not taken by then stays counted in `pending`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def channel(
        self,
        *,
        tenant: str,
        model: str,
        version: int,
        contract: Contract,
        rules: LogRules,
        key: bytes,
        is_heard: bool = True,
    ) -> Channel:
        """Open the way for one version's answers; not `is_heard` are those of a shadow, or outside production."""
        return Channel(tenant, model, version, contract, Veil(rules, key), is_heard)

    def admit(self, rows: int) -> None:
        """Let a request in, before it costs anything.

        Raises
        ------
        UnavailableError
            The queue is full: the database does not keep up, or is away.
        """
        if self.pending >= self._capacity:
            self.counts.refused += rows
            message = "predictions wait to be logged and no more may; the hub's database does not keep up. Try again"
            raise UnavailableError(message)

    def one(self, channel: Channel, number: int, row: tuple[Any, ...], answer: Answer) -> None:
        """Take the answer to a request of one row."""
        if not _is_sampled(number, channel.veil.rules.sample):
            self.counts.not_sampled += 1
            return
        entry = (
            number,
            row,
            answer.prediction[0],
            None if answer.lower is None else answer.lower[0],
            None if answer.upper is None else answer.upper[0],
            None if answer.score is None else answer.score[0],
            None if answer.series is None else answer.series[0],
            None if answer.target_us is None else answer.target_us[0],
        )
        with self._lock:
            channel.rows.append(entry)
            self.pending += 1
            self._channels[id(channel)] = channel

    def many(self, channel: Channel, ids: Any, rows: Rows, answer: Answer) -> None:
        """Take the answer to a request of many rows; it is sampled as a whole."""
        if not len(ids):
            return
        if not _is_sampled(int(ids[0]), channel.veil.rules.sample):
            self.counts.not_sampled += len(ids)
            return
        with self._lock:
            channel.blocks.append((ids, rows, answer))
            self.pending += len(ids)
            self._channels[id(channel)] = channel

    def flush(self) -> None:
        """Write what waits now, one transaction a model.

        Raises
        ------
        UnavailableError
            The database does not answer; what it has not taken stays in the queue.
        """
        with self._lock:
            taken = [(channel, *channel.take()) for channel in self._channels.values()]
            self._channels.clear()
        for channel, rows, blocks in taken:
            self._hold(channel, rows, blocks)
        while self._held:
            first = self._held[0]
            group = [one for one in self._held if (one.tenant, one.model) == (first.tenant, first.model)]
            self._write(group)

    def _hold(self, channel: Channel, rows: list[tuple[Any, ...]], blocks: list[Any]) -> None:
        """Turn what one version has answered into batches; what cannot be turned is lost and must not stop the others."""
        # The answer to a horizon of one step has no features: its row is empty.
        groups = [[entry for entry in rows if bool(entry[1]) is has_row] for has_row in (True, False)]
        parts = [(len(group), partial(_batches_of_rows, channel, group)) for group in groups if group]
        if blocks:
            parts.append((sum(len(ids) for ids, _, _ in blocks), partial(of_blocks, channel, blocks)))
        for count, made in parts:
            try:
                self._held += made()
            except Exception as error:  # noqa: BLE001 - border of the writer, as below
                self._on_error(error)
                self.last_error = f"{type(error).__name__}: {error}"
                self.counts.lost += count
                with self._lock:
                    self.pending -= count

    def _write(self, group: list[PredictionBatch]) -> None:
        try:
            self._sink(group)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - border of the writer: one batch must not stop all others
            self._on_error(error)
            if len(group) > 1:
                for batch in group:
                    self._write([batch])
                return
            self.last_error = f"{type(error).__name__}: {error}"
            self.counts.lost += len(group[0])
        else:
            self.counts.written += sum(len(batch) for batch in group)
        done = {id(batch) for batch in group}
        self._held = [batch for batch in self._held if id(batch) not in done]
        with self._lock:
            self.pending -= sum(len(batch) for batch in group)

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(self._flush_s)
            try:
                self.flush()
            except UnavailableError as error:
                self._on_error(error)
                self.last_error = str(error)
                self._stopping.wait(RETRY_S)
            if is_last:
                return


def _batches_of_rows(channel: Channel, entries: list[tuple[Any, ...]]) -> list[PredictionBatch]:
    return [of_rows(channel, entries)]


def _is_sampled(number: int, share: float) -> bool:
    return share >= 1.0 or (number * _SPREAD & (_WORD - 1)) < share * _WORD
