"""The versions that serve, in memory: follows the deployments, swaps atomically, keeps the last ones warm.

A request takes its route (`find`, one look into a dictionary) and uses that to its end. A thread follows the database:
what was deployed, rolled back or rolled out there is compiled beside what answers, and then put in its place in one
assignment. Another thread puts newer actuals on the forecasts. A version that cannot be compiled changes nothing: the one before goes on answering, and `failures` says why.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, TypeAlias

from aihub.errors import UnavailableError
from aihub.registry.files import write_atomically
from aihub.serving.blackbox import BlackBox
from aihub.serving.compiled import compile_version
from aihub.serving.forecasts import CompiledForecast
from aihub.serving.learning import newer_forecasts
from aihub.serving.routes import Key, Loaded, Route, Usage
from aihub.serving.rules import rules_of
from aihub.serving.shadows import Shadows
from aihub.store import served
from aihub.store.engine import EVERY_TENANT, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy.engine import Connection, Engine

    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.sandbox import Limits
    from aihub.serving.learning import HistoryOf
    from aihub.serving.log import PredictionLog

    Check: TypeAlias = Callable[[str, str, str, int, str], None]

WARM = 3
"""Versions per model and environment that stay in memory beside the champion."""
AGAIN_S = 10.0
"""When a version that could not be compiled is tried again."""
HISTORY_S = 2.0
"""How often actuals are looked for."""
SWITCH_S = 0.0005
FORGIVE_S = 60.0
"""A version that has answered for so long is forgiven its crashes."""


@dataclass
class _Warm:
    """Versions of one model and environment in memory, the newest use last."""

    by_version: dict[tuple[int, str], Loaded] = field(default_factory=dict)

    def keep(self, loaded: Loaded) -> None:
        key = (loaded.number, loaded.digest)
        self.by_version.pop(key, None)
        self.by_version[key] = loaded
        while len(self.by_version) > WARM + 1:
            del self.by_version[next(iter(self.by_version))]


class ServingPool:
    """Serves what is deployed.

    Parameters
    ----------
    engine, artifacts
        Of the hub; only read.
    log
        Where answers go.
    folder
        Of this hub's serving processes: what was tried out, and what crashed.
    key
        Secret with which personal columns are hashed.
    limits
        What trying out a version may cost.
    history_of
        Actuals that came after the training, and their revision, of those of the given models (tenant and name) that
        have any. Called on a thread of its own: however long it takes, deployments are followed meanwhile.
    check
        Called with tenant, model, environment, number and digest of a version before it is loaded; raises where that is
        not to be.
    on_error
        Told of every failure of the threads.
    """

    def __init__(
        self,
        engine: Engine,
        artifacts: ArtifactStore,
        log: PredictionLog,
        *,
        folder: Path,
        key: bytes,
        limits: Limits | None = None,
        history_of: HistoryOf | None = None,
        check: Check | None = None,
        on_error: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self._engine = engine
        self._artifacts = artifacts
        self.log = log
        self._folder = folder
        self._key = key
        self._limits = limits
        self._history_of = history_of
        self._check = check
        self._on_error = on_error
        self._routes: Mapping[Key, Route] = {}
        self._warm: dict[Key, _Warm] = {}
        self._usage: dict[Key, Usage] = {}
        self._signature: tuple[Any, ...] | None = None
        self._retry_at: dict[tuple[Key, str], float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.box = BlackBox(folder)
        self.shadows = Shadows()
        self.failures: dict[Key, str] = {}

    def start(self) -> None:
        """Load what is deployed, then follow it on a thread; the log starts too.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        # A thread that computes (the log's writer) gives way after half a millisecond instead of five: requests wait less.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        self.log.start()
        self.refresh()
        for name, work in (("aihub-serving", self._follow), ("aihub-history", self._learn_on)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop following, write what waits in the log, and close the black box: this process ends well."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(15)
        self.shadows.stop()
        self.log.stop()
        self.box.close()

    def find(self, tenant: str, model: str, environment: str) -> Route | None:
        """Return what answers for a model now; None where nothing is deployed."""
        return self._routes.get((tenant, model, environment))

    @property
    def routes(self) -> Mapping[Key, Route]:
        """Everything that answers."""
        return self._routes

    def is_warm(self, digest: str) -> bool:
        """Whether an artefact is in memory, and so has been seen to load."""
        # Copies: the pool's thread changes both meanwhile.
        return any(
            kept.digest == digest
            for warm in list(self._warm.values())
            for kept in list(warm.by_version.values())
        )

    def refresh(self) -> bool:
        """Read what is deployed and put it in place; whether anything has changed. Safe to call from any thread.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        with self._lock:
            with read(self._engine, tenant=EVERY_TENANT) as connection:
                signature = served.signature(connection)
                is_due = any(at <= time.monotonic() for at in self._retry_at.values())
                if signature == self._signature and not is_due:
                    return False
                wanted = served.champions(connection)
                beside = {
                    (row["tenant_id"], row["model"], row["environment"]): row
                    for row in served.challengers(connection)
                }
                earlier = self._earlier(connection, wanted)
            self._put(wanted, beside)
            self._forget_failures(
                {*beside, *((row["tenant_id"], row["model"], row["environment"]) for row in wanted)}
            )
            self._signature = signature
            for row, key in earlier:
                self._keep_warm(key, row)
            return True

    def _forget_failures(self, deployed: set[Key]) -> None:
        """Let go of what could not be loaded and is not wanted any more; it would be looked for for ever."""
        self.failures = {key: why for key, why in self.failures.items() if key in deployed}
        now = time.monotonic()
        self._retry_at = {again: at for again, at in self._retry_at.items() if at > now}

    def learn(self) -> None:
        """Put newer actuals on the forecasts that serve, on all at once; reads and computes without keeping a swap waiting.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        if self._history_of is None:
            return
        newer = newer_forecasts(list(self._routes.values()), self._history_of)
        with self._lock:
            routes = dict(self._routes)
            for key, before, after in newer:
                route = routes.get(key)
                # What was swapped meanwhile is left alone: the next look puts the history on what serves then.
                if route is not None and before is route.champion:
                    routes[key] = replace(route, champion=after)
                elif route is not None and before is route.challenger:
                    routes[key] = replace(route, challenger=after)
                else:
                    continue
                self._warm[key].keep(after)
            self._routes = routes

    def _earlier(
        self, connection: Connection, wanted: list[dict[str, Any]]
    ) -> list[tuple[dict[str, Any], Key]]:
        """Versions that a rollback may go to, of models that are not in memory yet."""
        found = []
        for row in wanted:
            key = (row["tenant_id"], row["model"], row["environment"])
            if key in self._warm:
                continue
            past = served.before(
                connection, model_id=row["model_id"], environment=row["environment"], limit=2 * WARM
            )
            distinct = {one["digest"]: one for one in past if one["digest"] != row["digest"]}
            found += [(one, key) for one in list(distinct.values())[: WARM - 1]]
        return found

    def _put(self, wanted: list[dict[str, Any]], beside: Mapping[Key, dict[str, Any]]) -> None:
        gone = set(self._routes)
        for row in wanted:
            key = (row["tenant_id"], row["model"], row["environment"])
            gone.discard(key)
            champion = self._loaded(key, row)
            if champion is None:
                continue
            other = beside.get(key)
            challenger = None if other is None else self._loaded(key, other)
            self.failures.pop(key, None)
            self._replace(
                Route(
                    key,
                    row["sequence"],
                    champion,
                    self._usage.setdefault(key, Usage()),
                    challenger,
                    "" if other is None or challenger is None else other["strategy"],
                    0.0 if other is None else float(other["share"]),
                    f"{key[0]}/{key[1]}".encode(),
                )
            )
        if gone:
            self._routes = {key: route for key, route in self._routes.items() if key not in gone}
            for key in gone:
                self._warm.pop(key, None)

    def _replace(self, route: Route) -> None:
        # A new dictionary in one assignment: readers take no lock.
        self._routes = {**self._routes, route.key: route}

    def _keep_warm(self, key: Key, row: dict[str, Any]) -> None:
        """Load a version that was deployed before; it answers where the deployed one cannot be loaded."""
        current = self._routes.get(key)
        earlier = self._loaded(key, row)
        if current is not None:
            self._warm[key].keep(current.champion)
        elif earlier is not None:
            usage = self._usage.setdefault(key, Usage())
            self._replace(Route(key, 0, earlier, usage))

    def _loaded(self, key: Key, row: dict[str, Any]) -> Loaded | None:
        """Return a version from memory, or compile it; None where it cannot be served."""
        warm = self._warm.setdefault(key, _Warm())
        known = warm.by_version.get((row["number"], row["digest"]))
        again = (key, row["digest"])
        if known is None:
            if self._retry_at.get(again, 0.0) > time.monotonic():
                return None
            try:
                known = self._compile(key, row)
            except Exception as error:  # noqa: BLE001 - border of a version: one that cannot be read must not keep others out
                self._retry_at[again] = time.monotonic() + AGAIN_S
                self._on_error(error)
                self.failures[key] = f"version {row['number']}: {error}"
                return None
            self._retry_at.pop(again, None)
        warm.keep(known)
        return known

    def _compile(self, key: Key, row: dict[str, Any]) -> Loaded:
        digest = row["digest"]
        if self.box.is_banned(digest):
            message = "it has ended the serving process twice and is not asked again; deploy or roll back to another"
            raise UnavailableError(message)
        rules = rules_of(row["spec"])
        tried = self._tried()
        mark = f"{digest} {_libraries()}"
        path = self._artifacts.path(digest)
        self._artifacts.verify(digest)
        if self._check is not None:
            self._check(*key, row["number"], digest)
        model = compile_version(
            path, limits=self._limits, unseen=rules.unseen_categories, is_tried=mark in tried
        )
        if mark not in tried:
            write_atomically(self._folder / "tried.json", json.dumps(sorted({*tried, mark})[-1000:]).encode())
        if isinstance(model, CompiledForecast):
            model.warm()
        channel = self.log.channel(
            tenant=key[0],
            model=key[1],
            version=row["number"],
            contract=model.contract,
            rules=rules.log,
            key=self._key,
        )
        semantic = f"v{row['major']}.{row['minor']}.{row['patch']}"
        return Loaded(row["number"], semantic, digest, model, model, channel, self.box.slot(digest))

    def _tried(self) -> set[str]:
        try:
            return set(json.loads((self._folder / "tried.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return set()

    def _follow(self) -> None:
        from aihub.serving.following import Follower  # noqa: PLC0415 - beside its only use

        follower = Follower(self._engine)
        started = time.monotonic()
        try:
            while not self._stopping.is_set():
                try:
                    if follower.wait():
                        self.refresh()
                    if self.box.crashes and time.monotonic() - started > FORGIVE_S:
                        self.box.forgive({route.champion.digest for route in self._routes.values()})
                except Exception as error:  # noqa: BLE001 - border of the thread: it has to follow whatever happens
                    self._on_error(error)
                    self._stopping.wait(1.0)
        finally:
            follower.close()

    def _learn_on(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            started = time.monotonic()
            try:
                self.learn()
            except Exception as error:  # noqa: BLE001 - border of the thread, as above
                self._on_error(error)
            # Preparing a history never takes more than a tenth of one core.
            wait_s = max(HISTORY_S, 10 * (time.monotonic() - started))


def _libraries() -> str:
    return f"lightgbm-{version_of('lightgbm')}"
