"""Plugins: built-ins listed in one tuple by the module that owns them, third parties by entry point.

A kind is a group name (`aihub.algorithms`, `aihub.checks`, ...). A duplicate name is an error; an entry point that
fails to load stays visible, with its traceback, until somebody asks for it.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from aihub.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Named(Protocol):
    """Anything with a name can be a plugin."""

    @property
    def name(self) -> str:
        """What the plugin is asked for by."""
        ...


PluginT = TypeVar("PluginT", bound=Named)


@dataclass(frozen=True)
class BrokenPlugin:
    """An entry point that could not be loaded."""

    name: str
    traceback: str


@dataclass(frozen=True)
class PluginSet(Generic[PluginT]):
    """The plugins of one kind, by name.

    Parameters
    ----------
    kind
        Word used in messages, such as ``"algorithm"``.
    group
        Entry-point group that third parties register in.
    builtins
        What ships with the hub.
    """

    kind: str
    group: str
    builtins: tuple[PluginT, ...] = field(default=())

    @cached_property
    def loaded(self) -> tuple[dict[str, PluginT], dict[str, BrokenPlugin]]:
        """Working and broken plugins by name."""
        working: dict[str, PluginT] = {}
        broken: dict[str, BrokenPlugin] = {}
        for plugin in self.builtins:
            _add(working, plugin, self.kind)
        for point in entry_points(group=self.group):
            try:
                plugin = cast("PluginT", point.load())
            except Exception:  # noqa: BLE001 - third-party code may raise anything; it is shown, not hidden
                broken[point.name] = BrokenPlugin(point.name, traceback.format_exc())
            else:
                _add(working, plugin, self.kind)
        return working, broken

    def names(self) -> list[str]:
        """Names of the working plugins, sorted."""
        return sorted(self.loaded[0])

    def all(self) -> Iterable[PluginT]:
        """Working plugins in the order they were listed."""
        return self.loaded[0].values()

    def get(self, name: str) -> PluginT:
        """Return the plugin called `name`.

        Raises
        ------
        NotFoundError
            No such plugin; the message offers the nearest name.
        ConfigError
            The plugin exists but failed to load; the message ends with its traceback.
        """
        working, broken = self.loaded
        if name in working:
            return working[name]
        if name in broken:
            raise ConfigError(f"{self.kind} {name!r} failed to load:\n{broken[name].traceback}")
        raise NotFoundError(self.kind, name, working)


def _add(working: dict[str, PluginT], plugin: PluginT, kind: str) -> None:
    if plugin.name in working:
        raise ConfigError(f"two plugins of kind {kind!r} are called {plugin.name!r}; rename or uninstall one")
    working[plugin.name] = plugin
