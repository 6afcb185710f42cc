"""YAML of a person's specification, read with suspicion: no objects, no bombs, no key twice, errors with a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import yaml

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32


def parse_yaml(text: str, *, label: str) -> tuple[Any, dict[str, int]]:
    """Return the document, and the line (1-based) of every dotted path in it.

    Raises
    ------
    ConfigError
        The text is too large or too deep, is no YAML, uses a tag or an alias, or has a key twice. The message names
        `label` and the line.
    """
    import yaml as library  # noqa: PLC0415 - 20 ms that a run without specification does not need

    if len(text.encode("utf-8", errors="replace")) > MAX_BYTES:
        raise ConfigError(f"{label}: is larger than {MAX_BYTES // 1024} KiB. A specification is a page.")
    try:
        _refuse_hostile(library.parse(text, Loader=library.SafeLoader), label)
        node = library.compose(text, Loader=library.SafeLoader)
    except library.MarkedYAMLError as error:
        mark = error.problem_mark
        line = 1 if mark is None else mark.line + 1
        raise ConfigError(
            f"{label}, line {line}: is no valid YAML: {error.problem}. Correct the line."
        ) from None
    except library.YAMLError as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{label}: is no valid YAML ({reason}). Correct it.") from None
    lines: dict[str, int] = {}
    return (None if node is None else _value(node, "", lines, label)), lines


def _refuse_hostile(events: Iterable[yaml.Event], label: str) -> None:
    """Look at the events one by one, so that a bomb is refused before it is unpacked."""
    import yaml as library  # noqa: PLC0415 - as above

    depth = 0
    for count, event in enumerate(events):
        if count > MAX_NODES:
            raise ConfigError(f"{label}: has more than {MAX_NODES} values. A specification is a page.")
        depth += isinstance(event, library.CollectionStartEvent) - isinstance(
            event, library.CollectionEndEvent
        )
        where = f"{label}, line {event.start_mark.line + 1}" if event.start_mark else label
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: is nested too deep. Flatten it.")
        if isinstance(event, library.AliasEvent):
            raise ConfigError(f"{where}: aliases (*name) are not allowed. Write it out.")


def _value(node: yaml.Node, path: str, lines: dict[str, int], label: str) -> Any:
    import yaml as library  # noqa: PLC0415 - as above

    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, library.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            at = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, library.ScalarNode) else None
            if not isinstance(key, str) or key == "<<":
                raise ConfigError(f"{label}, line {at}: a key must be a plain word. Write 'name: value'.")
            if key in result:
                raise ConfigError(f"{label}, line {at}: {key!r} is written twice. Keep one.", field=key)
            here = f"{path}.{key}" if path else key
            result[key] = _value(value_node, here, lines, label)
            lines[here] = at
        return result
    if isinstance(node, library.SequenceNode):
        return [_value(item, f"{path}.{i}", lines, label) for i, item in enumerate(node.value)]
    try:
        return library.SafeLoader("").construct_object(node)
    except (library.YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or str(error)
        raise ConfigError(
            f"{label}, line {line}: cannot be read ({str(reason)[:80]}). Correct the line."
        ) from None
