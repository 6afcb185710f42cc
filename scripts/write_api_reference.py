#!/usr/bin/env python
"""Write what the API says of itself: ``schemas/openapi.json`` and ``docs/reference/api.md``; the tests fail while they are old."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aihub.api.app import create_app
from aihub.auth import Authenticator
from aihub.hub import opened
from aihub.settings import from_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[1]
_HEAD = """# The HTTP API

<!-- Written by scripts/write_api_reference.py; change the code, then run it. -->

The whole description, for tools, is `/openapi.json` of a running hub and `schemas/openapi.json` of the repository.

- Send `Authorization: Bearer hub_...`; the column *scope* says what the key must be allowed.
- An operator's key acts in the tenant that the header `X-AIHub-Tenant`, or the body's `tenant_id`, names. What belongs to another
  tenant is not there: 404.
- Lists answer `{"items": [...], "next": cursor}`; pass `next` as `cursor`. Times are UTC in ISO 8601.
- A `POST` takes an `Idempotency-Key`: the same key with the same request gets the same answer (with `Idempotency-Replayed: true`)
  and happens once; with another request it is a 409. A request that failed has left nothing and may be repeated with its key.
- Answers with an `ETag` answer `If-None-Match` with 304.
- Errors are `application/problem+json` (RFC 9457): `status`, `code` for machines, `detail` with the next step, `field` and `errors`
  where a field is wrong. What was sent is never repeated. 429 and 503 come with `Retry-After`.
- `X-Request-ID` of an answer is the name of the request in the logs.

"""


def document() -> dict[str, Any]:
    """Return the description that a hub gives of its API."""
    with tempfile.TemporaryDirectory() as home, opened(from_environment({}, home=home)) as hub:
        described: dict[str, Any] = create_app(hub, access=Authenticator.of(hub)).openapi()
    return described


def page(described: Mapping[str, Any]) -> str:
    """Return the description as a page."""
    parts = [_HEAD]
    tag = ""
    for path, method, operation in _operations(described):
        if operation["tags"][0] != tag:
            tag = operation["tags"][0]
            parts.append(f"## {tag.capitalize()}\n\n")
        parts.append(_operation(path, method, operation, described["components"]["schemas"]))
    return "".join(parts).rstrip() + "\n"


def _operations(described: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _operation(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    text = operation.get("description", "").partition("\n\nScope:")[0].strip()
    scope = f"Scope `{operation['x-scope']}`." if operation.get("x-scope") else "Needs no credential."
    lines = [f"### `{method} {path}`\n\n{text}\n\n{scope}\n"]
    rows = [
        f"| `{one['name']}` | {one['in']} | {'yes' if one.get('required') else ''} | {_cell(one.get('description', ''))} |"
        for one in operation.get("parameters", [])
        if one["name"] != "Idempotency-Key"
    ]
    if rows:
        lines.append(
            "| parameter | in | required | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
        )
    body = operation.get("requestBody")
    if body:
        lines.append(f"Body: {_body(body)}\n")
        lines += [_fields(schemas[name], schemas) for name in _names(body)]
    statuses = ", ".join(f"`{status}`" for status in sorted(operation["responses"]))
    lines.append(f"Answers: {statuses}\n")
    return "\n".join(lines) + "\n"


def _body(body: Mapping[str, Any]) -> str:
    names = _names(body)
    if names:
        return ", ".join(f"`{name}`" for name in names) + " as JSON."
    return _cell(body.get("description", "")) or "bytes."


def _names(body: Mapping[str, Any]) -> list[str]:
    return sorted({_name(form.get("schema", {})) for form in body["content"].values()} - {""})


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return the fields of a body as a table."""
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {_kind(field, schemas)} | {'**required**' if name in required else _default(field)} | {_cell(field.get('description', ''))} |"
        for name, field in schema.get("properties", {}).items()
    ]
    return "| field | type | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


def _kind(field: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Name what a field takes in words of JSON."""
    if "anyOf" in field:
        kinds = dict.fromkeys(_kind(one, schemas) for one in field["anyOf"] if one.get("type") != "null")
        return " or ".join(kinds)
    if "$ref" in field:
        named = schemas[_name(field)]
        return _kind(named, schemas) if "enum" in named else f"`{_name(field)}`"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), schemas)}"
    return str(field.get("const") or field.get("format") or field.get("type", "object"))


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    return "" if default in (None, "", [], {}) else f"`{json.dumps(default)}`"


def _name(schema: Mapping[str, Any]) -> str:
    for one in (schema, *schema.get("anyOf", [])):
        if "$ref" in one:
            return str(one["$ref"]).rpartition("/")[2]
    return ""


def _cell(text: str) -> str:
    flat = text.replace("|", "\\|").replace("\n", " ")
    return re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", flat)


def main() -> int:
    """Write both files below the folder named on the command line, by default the repository."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    described = document()
    for path, text in (
        ("schemas/openapi.json", json.dumps(described, indent=1, ensure_ascii=False) + "\n"),
        ("docs/reference/api.md", page(described)),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
