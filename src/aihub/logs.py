"""Structured logs: one JSON object a line on standard error, with the ids of request, job and trace, and no secret.

Whoever logs binds what belongs together (`structlog.contextvars.bind_contextvars(job_id=...)`); every line has it then.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Literal

import orjson
import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"authorization|passw|secret|token|api_?key|cookie|credential|private|webhook_url", re.IGNORECASE
)
# Lines hold what strangers have sent: whatever stands before a secret has an end, so that each takes time by its length alone.
_SECRET_TEXT: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"\b(hub(?:gh)?_[0-9a-f]{16})_[A-Za-z0-9_-]{8,}"), rf"\1_{REDACTED}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(?<=\w://)[^/\s@'\"]*@"), f"{REDACTED}@"),
    (re.compile(r"(https://hooks\.slack\.com/)[^\s'\"]+"), rf"\1{REDACTED}"),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"), REDACTED),
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"), REDACTED),
    (
        re.compile(r"(?i)([?&](?:[a-z_-]{0,64}(?:token|secret|signature|password|key))=)[^&\s'\"]+"),
        rf"\1{REDACTED}",
    ),
)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNSAFE_IN_TRACEBACK = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_QUIET = ("httpx", "httpcore", "uvicorn.access", "alembic", "mlflow")
"""Loggers that write whole addresses, or much of what nobody asked for."""
MAX_TEXT = 20_000


def configure(level: str = "info", form: Literal["json", "console"] = "json") -> None:
    """Send every log line of the process through the redaction to standard error. Idempotent."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.stdlib.ExtraAdder(),
        plain,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    drawn: list[Any] = [structlog.processors.JSONRenderer(_dumps)]
    if form == "console":
        drawn = [visible, structlog.dev.ConsoleRenderer()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *drawn],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def plain(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor of structlog that leaves out the coloured copy of its message which uvicorn sends along."""
    event.pop("color_message", None)
    return event


def visible(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    r"""Processor of structlog that shows what would move a terminal's cursor, or look like another line.

    >>> visible(None, "info", {"event": "a\n\x1b[2J", "exception": "one\ntwo"})
    {'event': 'a\\x0a\\x1b[2J', 'exception': 'one\ntwo'}
    """
    for name, value in event.items():
        if isinstance(value, str):
            unsafe = _UNSAFE_IN_TRACEBACK if name in ("exception", "stack") else _UNSAFE
            event[name] = unsafe.sub(_shown, value)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor of structlog that takes secrets out of a line, by the name of the field and by their form.

    >>> redact(None, "info", {"password": "x", "url": "postgresql://me:x@host/db", "rows": 3})
    {'password': '[redacted]', 'url': 'postgresql://[redacted]@host/db', 'rows': 3}
    """
    for name, value in event.items():
        event[name] = _without_secrets(name, value)
    return event


def without_secrets(text: str) -> str:
    """Return a text without what has the form of a secret."""
    text = text[:MAX_TEXT]
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - where two digits end


def _without_secrets(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(name, inner) for inner in value]
    if isinstance(value, str | bytes):
        if _SECRET_NAME.search(name):
            return REDACTED
        return without_secrets(value if isinstance(value, str) else value.decode("utf-8", "replace"))
    return value


def _dumps(event: Mapping[str, Any], **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Half a surrogate pair, or a number beyond 64 bits: a line that looks odd is better than none.
        return ascii(dict(event))
