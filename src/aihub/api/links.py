"""`/links/{token}`: the page behind the links of a notification. Opening it shows; only its button decides.

Mail scanners and chat previews open every link, so a GET changes nothing. A link that is bound to a person decides in that
person's name; any other asks for an API key. No script, nothing loaded, works in every browser.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from aihub.access import scopes_of
from aihub.api.context import PUBLIC, Access
from aihub.delivery import deployments
from aihub.delivery.approval_records import get
from aihub.delivery.notices import evidence_of
from aihub.errors import AIHubError, ForbiddenError, InputError
from aihub.notify.links import DecisionLink, link_key, read
from aihub.store import engine as engines
from aihub.store import keys, tenants
from aihub.types import Identity, Role

if TYPE_CHECKING:
    from aihub.delivery.approval_records import Approval
    from aihub.hub import Hub

router = APIRouter(tags=["approvals"], include_in_schema=False)
MAX_FORM_BYTES = 16 * 1024
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.3rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem}dt{font-weight:600}"
    "dd{margin:0;overflow-wrap:anywhere}label{display:block;margin:.8rem 0 .2rem}"
    "textarea,input{width:100%;box-sizing:border-box;font:inherit;padding:.4rem}button{font:inherit;padding:.5rem 1.2rem;"
    "margin:1rem .6rem 0 0}.said{border-left:4px solid;padding-left:.8rem}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_CSP = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_WORDS = {"approve": "Approve", "reject": "Reject"}


@router.get("/links/{token}", dependencies=[PUBLIC])
def show(token: str, request: Request) -> HTMLResponse:
    """Show what the link is about, and the form that decides."""
    hub: Hub = request.app.state.hub
    try:
        link = _read(hub, token, request.app.state.clock())
        with engines.read(hub.engine, tenant=link.tenant) as connection:
            found = get(connection, link.approval, tenant=link.tenant)
    except AIHubError as error:
        return _page(
            "This link does not work", f'<p class="said">{escape(str(error))}</p>', error.http_status
        )
    return _page(_title(found), _facts(hub, found) + _form(link, found))


@router.post("/links/{token}", dependencies=[PUBLIC])
async def decide(token: str, request: Request) -> HTMLResponse:
    """Decide in the name of whom the link or the key stands for."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return _page("Too much", "<p>The reason is too long.</p>", 413)
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415 - the one asynchronous route here

    return await run_in_threadpool(_decide, token, request, body)


def _decide(token: str, request: Request, body: bytes) -> HTMLResponse:
    hub: Hub = request.app.state.hub
    now: datetime = request.app.state.clock()
    try:
        link = _read(hub, token, now)
        form = _fields(body)
        decision = form.get("decision", link.decision)
        if link.decision not in ("view", decision):
            raise ForbiddenError("this link allows another decision than the one that was sent")
        host = request.client.host if request.client else "unknown"
        identity = _identity(request.app.state.access, link, form.get("key", ""), f"link {host}", now)
        registry = hub.registry_of(link.tenant, identity.source)
        with engines.write(hub.engine, tenant=link.tenant) as connection:
            done, outcome = deployments.decide(
                connection,
                registry,
                link.approval,
                identity=identity,
                decision=decision,
                reason=form.get("reason", "").strip(),
                now=now,
                digest=link.digest,
            )
    except AIHubError as error:
        return _page("Not decided", f'<p class="said">{escape(str(error))}</p>', error.http_status)
    said = f"The request is {done.state}." + (f" The deployment is {outcome.state}." if outcome else "")
    return _page("Thank you", f'<p class="said">{escape(said)}</p>{_facts(hub, done)}')


def _read(hub: Hub, token: str, now: datetime) -> DecisionLink:
    """Return what the link allows now: since it was sent its tenant or its person may have lost what they had.

    Raises
    ------
    ForbiddenError
        It is not valid, has expired, or stands for somebody who may not decide any more.
    """
    link = read(token, link_key(hub.audit.key), now)
    with engines.read(hub.engine, tenant=engines.EVERY_TENANT) as connection:
        tenant = tenants.find(connection, link.tenant)
        counts = tenant is not None and tenant.is_active
        if counts and link.principal:
            counts = keys.may(connection, link.principal, "approvals:decide", tenant=link.tenant, now=now)
    if not counts:
        raise ForbiddenError(
            "whom this link was sent to may not decide here any more; ask an admin of the hub for a key that may"
        )
    return link


def _identity(access: Access, link: DecisionLink, key: str, source: str, now: datetime) -> Identity:
    """Return in whose name is decided; by a link alone somebody is an approver, whatever else he may do."""
    if link.principal and not key:
        return Identity(
            tenant=link.tenant,
            principal=link.principal,
            role=Role.APPROVER,
            scopes=scopes_of(Role.APPROVER),
            source=source,
        )
    if not key:
        raise InputError(
            "this link is for several people; give your API key, so that it is known who decides"
        )
    identity = access.acting_in(access.authenticate(key.strip(), now), link.tenant, now)
    identity.require("approvals:decide")
    return identity


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = parse_qs(body.decode("utf-8"), max_num_fields=10, keep_blank_values=True)
    except ValueError:
        raise InputError("the form cannot be read; open the link again") from None
    return {name: values[-1].replace("\0", "") for name, values in found.items()}


def _title(found: Approval) -> str:
    return f"put {found.model} {found.semantic} into {found.environment}?"


def _facts(hub: Hub, found: Approval) -> str:
    """Render what is decided on: first what helps to judge it, then what it is exactly."""
    registry = hub.registry_of(found.tenant)
    version = registry.version(found.model, found.version)
    rows: list[tuple[str, Any]] = [
        *(
            (name[:1].upper() + name[1:], value)
            for name, value in evidence_of(registry, version, found.environment)
        ),
        ("Model", f"{found.model} {found.semantic} (version {found.version})"),
        ("Into", found.environment),
        ("State", found.state),
        ("Asked by", found.requested_by),
        ("Reason", found.reason or "-"),
        ("Lapses", f"{found.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"),
        ("Agreed", ", ".join(found.granted_by) or f"nobody yet of {found.rule.approvers}"),
        ("Artefact", f"sha256 {found.artifact_digest}"),
        ("Report", f"sha256 {found.report_digest}" if found.report_digest else "-"),
        ("Request", found.uid),
    ]
    return (
        "<dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in rows)
        + "</dl>"
    )


def _form(link: DecisionLink, found: Approval) -> str:
    if found.state != "pending":
        return (
            f'<p class="said">The request is {escape(found.state)}: there is nothing to decide any more.</p>'
        )
    who = (
        f"<p>You decide as <strong>{escape(link.principal)}</strong>.</p>"
        if link.principal
        else '<label for="key">Your API key</label><input id="key" name="key" type="password" required autocomplete="off">'
    )
    words = list(_WORDS) if link.decision == "view" else [link.decision]
    buttons = "".join(
        f'<button name="decision" value="{word}">{_WORDS[word]}</button>' for word in words if word in _WORDS
    )
    return (
        f'<form method="post">{who}<label for="reason">Why</label>'
        f'<textarea id="reason" name="reason" rows="3" maxlength="4000" required></textarea>{buttons}</form>'
    )


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex"><title>{escape(title)} - AI Hub</title><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title[:1].upper() + title[1:])}</h1>{body}</main></body></html>"
    )
    return HTMLResponse(document, status, headers={"Content-Security-Policy": _CSP})
