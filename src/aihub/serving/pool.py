"""The versions that serve, in memory: follows the deployments, swaps atomically, keeps the last ones warm.

A request takes its route (`find`, one look into a dictionary) and uses that to its end. A thread follows the database:
what was deployed, rolled back or rolled out there is compiled beside what answers, and then put in its place in one
assignment. What is asked for and not loaded yet comes first. Another thread puts newer actuals on the forecasts. A version
that cannot be compiled changes nothing: the one before goes on answering, and `failures` says why.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, TypeAlias

from aihub.errors import UnavailableError
from aihub.registry.files import write_atomically
from aihub.registry.records import PRODUCTION
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

    from sqlalchemy.engine import Engine

    from aihub.registry.artifacts import ArtifactStore
    from aihub.registry.sandbox import Limits
    from aihub.serving.learning import HistoryOf
    from aihub.serving.log import PredictionLog

    Check: TypeAlias = Callable[[str, str, str, int, str], None]

WARM = 3
"""Versions per model and environment that stay in memory beside the champion."""
AGAIN_S = 10.0
"""When a version that could not be compiled is tried again."""
KEEP_S = 600.0
"""How often this machine's copies of what is in memory are said to be in use, so that they are there at the next start."""
HISTORY_S = 2.0
"""How often actuals are looked for."""
SWITCH_S = 0.0005
SLICE_S = 0.25
"""How long versions are loaded before the tables are looked at again: what was deployed or asked for meanwhile comes next."""
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
        self._deployed: frozenset[Key] = frozenset()
        self._asked: set[Key] = set()
        self._settled: set[Key] = set()
        self._on_loaded: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.box = BlackBox(folder)
        self.shadows = Shadows()
        self.failures: dict[Key, str] = {}

    def start(self, *, on_loaded: Callable[[], None] | None = None) -> None:
        """Load what is deployed, then follow it on a thread; the log starts too.

        Parameters
        ----------
        on_loaded
            Given: return at once, load on the thread, and call this when everything is there. Until then `pending` says
            what is not, and `ask` puts a model first.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        # A thread that computes (the log's writer) gives way after half a millisecond instead of five: requests wait less.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        self.log.start()
        self._on_loaded = on_loaded
        self.refresh(None if on_loaded is None else 0.0)
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
        return digest in self._digests()

    def _digests(self) -> set[str]:
        # Copies: the pool's thread changes both meanwhile.
        return {kept.digest for warm in list(self._warm.values()) for kept in list(warm.by_version.values())}

    @property
    def deployed(self) -> frozenset[Key]:
        """Everything that is to answer, by the last look at the database."""
        return self._deployed

    @property
    def pending(self) -> list[Key]:
        """What is deployed and neither answers yet nor has failed to load."""
        return [key for key in self._deployed if key not in self._routes and key not in self.failures]

    def ask(self, key: Key) -> None:
        """Load a deployed model before the others that still have to be; asking again changes nothing."""
        self._asked.add(key)

    def knows(self, key: Key) -> bool:
        """Whether a model is deployed; asks the database where the last look did not find it.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        if key in self._deployed:
            return True
        with read(self._engine, tenant=key[0]) as connection:
            return served.is_deployed(connection, *key)

    def refresh(self, slice_s: float | None = None) -> bool:
        """Read what is deployed and put it in place; whether anything has changed. Safe to call from any thread.

        Parameters
        ----------
        slice_s
            Seconds after which no further version is loaded; the next call goes on. None: load all.

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
                wanted = {_key(row): row for row in served.champions(connection)}
                beside = {_key(row): row for row in served.challengers(connection)}
            self._signature = None
            self._deployed = frozenset(wanted)
            self._asked &= self._deployed
            self._drop({*self._routes, *self._warm, *self._settled}.difference(wanted))
            until = None if slice_s is None else time.monotonic() + slice_s
            if self._put(wanted, beside, until) and self._settle_all(wanted, until):
                self._forget_failures({*beside, *wanted})
                self._asked.clear()
                self._signature = signature
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

    def _drop(self, gone: set[Key]) -> None:
        if not gone:
            return
        self._routes = {key: route for key, route in self._routes.items() if key not in gone}
        self._settled -= gone
        for key in gone:
            self._warm.pop(key, None)

    def _put(
        self, wanted: Mapping[Key, dict[str, Any]], beside: Mapping[Key, dict[str, Any]], until: float | None
    ) -> bool:
        """Put champions and challengers in place; whether all could be looked at before the time was over."""
        is_whole = True
        for key in self._ordered(wanted):
            row, other = wanted[key], beside.get(key)
            if self._is_over(until, key) and not (self._is_known(key, row) and self._is_known(key, other)):
                is_whole = False
                continue
            self._asked.discard(key)
            champion = self._loaded(key, row)
            if champion is None:
                self._settle(key, row)
                continue
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
        return is_whole

    def _ordered(self, wanted: Mapping[Key, dict[str, Any]]) -> list[Key]:
        """Return what is asked for, then what answers already (a swap waits for no start), then the newest deployments."""
        newest = list(wanted)[::-1]
        asked, routes = set(self._asked), self._routes
        return sorted(newest, key=lambda key: (key not in asked, key not in routes, key[2] != "production"))

    def _is_over(self, until: float | None, key: Key | None = None) -> bool:
        """Whether the time is over, or something else than `key` was asked for meanwhile."""
        if until is None:
            return self._stopping.is_set()
        is_behind = bool(self._asked) and key not in self._asked
        return is_behind or self._stopping.is_set() or time.monotonic() >= until

    def _is_known(self, key: Key, row: dict[str, Any] | None) -> bool:
        warm = self._warm.get(key)
        return row is None or (warm is not None and (row["number"], row["digest"]) in warm.by_version)

    def _settle_all(self, wanted: Mapping[Key, dict[str, Any]], until: float | None) -> bool:
        for key, row in wanted.items():
            if self._is_over(until):
                return self._settled.issuperset(wanted)
            self._settle(key, row)
        return True

    def _settle(self, key: Key, row: dict[str, Any]) -> None:
        """Load the versions that a rollback may go to, once for every model."""
        if key in self._settled:
            return
        with read(self._engine, tenant=EVERY_TENANT) as connection:
            past = served.before(
                connection, model_id=row["model_id"], environment=row["environment"], limit=2 * WARM
            )
        distinct = {one["digest"]: one for one in past if one["digest"] != row["digest"]}
        for one in list(distinct.values())[: WARM - 1]:
            self._keep_warm(key, one)
        self._settled.add(key)

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
        opened = partial(
            self.log.channel,
            tenant=key[0],
            model=key[1],
            version=row["number"],
            contract=model.contract,
            rules=rules.log,
            key=self._key,
        )
        own, shadow = opened(is_heard=key[2] == PRODUCTION), opened(is_heard=False)
        semantic = f"v{row['major']}.{row['minor']}.{row['patch']}"
        return Loaded(row["number"], semantic, digest, model, model, own, shadow, self.box.slot(digest))

    def _tried(self) -> set[str]:
        try:
            return set(json.loads((self._folder / "tried.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return set()

    def _follow(self) -> None:
        from aihub.serving.following import Follower  # noqa: PLC0415 - beside its only use

        follower = Follower(self._engine)
        started = time.monotonic()
        keep_at = started
        try:
            while not self._stopping.is_set():
                try:
                    if self._signature is None or follower.wait():
                        self.refresh(SLICE_S)
                    if time.monotonic() >= keep_at:
                        keep_at = time.monotonic() + KEEP_S
                        self._artifacts.keep(self._digests())
                    if self._on_loaded is not None and self._signature is not None:
                        on_loaded, self._on_loaded = self._on_loaded, None
                        on_loaded()
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


def _key(row: Mapping[str, Any]) -> Key:
    return row["tenant_id"], row["model"], row["environment"]


def _libraries() -> str:
    return f"lightgbm-{version_of('lightgbm')}"
