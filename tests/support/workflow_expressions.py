"""GitHub's expressions, as far as our workflows use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.-]*)|(?P<sign>&&|\|\||==|!=|[!(),]))"
)
WHOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = {"always", "success", "failure", "cancelled"}


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    """Return the value of an expression; a name that is not there is null."""
    expression = expression.strip()
    tokens, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if match is None:
            raise SyntaxError(f"cannot read {expression[at:]!r}")
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
        at = match.end()
    parser = _Parser(tokens, contexts)
    value = parser.either()
    if parser.tokens:
        raise SyntaxError(f"{expression!r} goes on with {parser.tokens[0]}")
    return value


def interpolate(value: Any, contexts: Mapping[str, Any]) -> Any:
    """Replace every `${{ }}` in a text or a structure; a text that is one expression keeps its type."""
    if isinstance(value, dict):
        return {key: interpolate(item, contexts) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, contexts) for item in value]
    if not isinstance(value, str):
        return value
    whole = WHOLE.fullmatch(value.strip())
    if whole:
        return evaluate(whole[1], contexts)
    return WHOLE.sub(lambda match: as_text(evaluate(match[1], contexts)), value)


def condition(text: Any, contexts: Mapping[str, Any]) -> bool:
    """Whether an `if:` holds; one that asks for no status means that nothing has failed before."""
    expression = str("" if text is None else text).strip()
    whole = WHOLE.fullmatch(expression)
    expression = (whole[1] if whole else expression).strip() or "success()"
    if not any(f"{name}(" in expression for name in STATUS):
        expression = f"success() && ({expression})"
    return truth(evaluate(expression, contexts))


def truth(value: Any) -> bool:
    return value not in (None, "", 0, False)


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], contexts: Mapping[str, Any]) -> None:
        self.tokens, self.contexts = tokens, contexts

    def took(self, sign: str) -> bool:
        if self.tokens and self.tokens[0] == ("sign", sign):
            self.tokens.pop(0)
            return True
        return False

    def either(self) -> Any:
        value = self.both()
        while self.took("||"):
            other = self.both()
            value = value if truth(value) else other
        return value

    def both(self) -> Any:
        value = self.equal()
        while self.took("&&"):
            other = self.equal()
            value = other if truth(value) else value
        return value

    def equal(self) -> Any:
        value = self.one()
        for sign, wanted in (("==", True), ("!=", False)):
            if self.took(sign):
                return _same(value, self.one()) is wanted
        return value

    def one(self) -> Any:
        if self.took("!"):
            return not truth(self.one())
        if self.took("("):
            value = self.either()
            assert self.took(")")
            return value
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if self.took("("):
            return self.call(text)
        literals = {"true": True, "false": False, "null": None}
        return literals[text] if text in literals else self.look_up(text)

    def call(self, name: str) -> Any:
        arguments = []
        while not self.took(")"):
            arguments.append(self.either())
            self.took(",")
        functions: dict[str, Callable[..., Any]] = {
            "fromJSON": json.loads,
            "format": lambda form, *given: re.sub(r"\{(\d+)\}", lambda m: as_text(given[int(m[1])]), form),
            **{status: lambda status=status: self.contexts["status"] in _HOLDS[status] for status in STATUS},
        }
        return functions[name](*arguments)

    def look_up(self, path: str) -> Any:
        value: Any = self.contexts
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


_HOLDS = {
    "always": {"success", "failure", "cancelled"},
    "success": {"success"},
    "failure": {"failure"},
    "cancelled": {"cancelled"},
}


def _same(left: Any, right: Any) -> bool:
    """GitHub compares texts without regard to case, and other kinds as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    if type(left) is type(right):
        return bool(left == right)
    return _number(left) == _number(right)


def _number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return float("nan")
