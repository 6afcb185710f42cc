"""Putting newer actuals on the forecasts that serve; reads and computes, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from aihub.serving.forecasts import CompiledForecast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from aihub.serving.forecasts import Past
    from aihub.serving.routes import Key, Loaded, Route

    HistoryOf: TypeAlias = Callable[[Collection[tuple[str, str]]], Mapping[tuple[str, str], tuple[Any, Past]]]


def newer_forecasts(routes: Iterable[Route], history_of: HistoryOf) -> list[tuple[Key, Loaded, Loaded]]:
    """Return of every forecast whose history has grown: whose it is, the version as it serves, and with that history.

    Raises
    ------
    UnavailableError
        The database does not answer.
    """
    serving = [
        (route.key, loaded, loaded.origin)
        for route in routes
        for loaded in (route.champion, route.challenger)
        if loaded is not None and isinstance(loaded.origin, CompiledForecast)
    ]
    if not serving:
        return []
    histories = history_of({key[:2] for key, _, _ in serving})
    found = []
    for key, loaded, origin in serving:
        revision, past = histories.get(key[:2], (loaded.revision, None))
        if past is not None and revision != loaded.revision:
            model = origin.with_past(past)
            model.warm()
            found.append((key, loaded, replace(loaded, model=model, revision=revision)))
    return found
