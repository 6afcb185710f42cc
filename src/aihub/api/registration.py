"""`POST /models/{name}/versions`: register a model that was trained elsewhere."""

from __future__ import annotations

import hashlib
import math
import secrets
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
import orjson
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response

from aihub.api.bodies import JsonRoute
from aihub.api.border import LIMIT
from aihub.api.context import Caller, Needs
from aihub.api.once import Posted
from aihub.api.problems import SHA256, documented
from aihub.api.views import ModelName, VersionView
from aihub.errors import ArtifactError, ConfigError, ConflictError, UnavailableError
from aihub.registry.intake import take_in, version_of
from aihub.registry.records import Status
from aihub.registry.restricted import TRUST_HINT
from aihub.registry.sandbox import Limits
from aihub.registry.validations import NOT_VALIDATED
from aihub.types import ModelType

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from aihub.registry.intake import Taken

router = APIRouter(route_class=JsonRoute, tags=["versions"])
Registrar = Annotated[Caller, Depends(Needs("models:write", makes_tenant=True))]
MAX_METRICS, MAX_METRIC_NAME = 100, 64
_INSTEAD = (
    "send the model in its library's own form (LightGBM: model.booster_.save_model('model.txt'), "
    "XGBoost: model.save_model('model.ubj')), or pickle the bare estimator"
)
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The model file: an artefact of the hub, a LightGBM text model, an XGBoost UBJSON or JSON model, or a "
        "pickle of one, which is opened once in a confined process. The content decides, not its type.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/models/{name}/versions",
    status_code=201,
    summary="Register a model trained elsewhere",
    response_model=VersionView,
    openapi_extra=_FILE,
    responses=documented(ArtifactError, ConflictError),
)
async def register(
    request: Request,
    name: ModelName,
    who: Registrar,
    once: Posted,
    git_commit: Annotated[str | None, Query(pattern=r"^[0-9a-f]{7,64}$")] = None,
    model_type: Annotated[ModelType, Query(description="What it answers.")] = ModelType.FORECAST,
    target: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")] = None,
    metrics: Annotated[
        str | None,
        Query(
            max_length=4000,
            description="JSON object of numbers, as measured elsewhere.",
            examples=['{"mae": 38.5}'],
        ),
    ] = None,
    filename: Annotated[str, Query(max_length=256, description="For people; the content decides.")] = "",
    digest: Annotated[str | None, Header(alias="X-Content-SHA256", pattern=SHA256)] = None,
) -> Response:
    """Examine a model file in a confined process, bring it into the hub's own form, and make it a version.

    Without a report it is a candidate that no policy lets pass: `POST /models/{name}/versions/{v}/validations` has the gate
    judge it. The same file again is the same version.
    """
    del filename
    measured = _numbers(metrics)
    request.scope[LIMIT] = who.hub.settings.max_dataset_mb << 20
    folder = who.hub.settings.home / "uploads"
    path = folder / f".{secrets.token_hex(12)}.tmp"
    try:
        arrived = await _receive(request, path)
        if digest is not None and digest != arrived:
            raise ArtifactError("the file is not what was sent when it arrived; send it again")
        given = {"model_type": model_type.value, **({} if target is None else {"target": target})}
        taken = await anyio.to_thread.run_sync(_taken, who, path, name, git_commit, given)
        return await anyio.to_thread.run_sync(_registered, who, once.of(arrived), name, taken, measured)
    finally:
        path.unlink(missing_ok=True)


async def _receive(request: Request, path: Path) -> str:
    """Write the body to a file and return its digest."""
    found = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        async with await anyio.open_file(path, "xb") as file:
            async for piece in request.stream():
                found.update(piece)
                await file.write(piece)
    except OSError as error:
        message = f"the file could not be kept: {error.strerror}; free space on the hub's disk, then repeat"
        raise UnavailableError(message) from error
    return found.hexdigest()


def _taken(who: Caller, path: Path, name: str, git_commit: str | None, given: dict[str, Any]) -> Taken:
    settings = who.hub.settings
    try:
        return take_in(
            who.hub.artifacts,
            path,
            model=name,
            requested_by=who.identity.principal,
            now=who.now,
            git_commit=git_commit,
            config=given,
            limits=Limits(timeout_s=settings.load_timeout_s, memory_bytes=settings.sandbox_memory_mb << 20),
        )
    except ArtifactError as error:
        # Where the hub keeps what arrives is nobody's business, and trust is not for a caller to give.
        said = str(error).replace(str(path), "the model file").replace(TRUST_HINT, _INSTEAD)
        raise ArtifactError(said) from None


def _registered(who: Caller, once: Posted, name: str, taken: Taken, metrics: dict[str, float]) -> Response:
    def work(connection: Connection) -> VersionView:
        known = version_of(connection, who.tenant, name, taken.artifact.digest)
        made = known or who.registry.register_in(
            connection,
            name,
            taken.artifact,
            taken.lineage,
            status=Status.CANDIDATE,
            actor=who.identity.principal,
            now=who.now,
            metrics=metrics,
            notes=[NOT_VALIDATED],
        )
        return VersionView.of(made)

    def location(made: VersionView) -> dict[str, str]:
        return {"Location": f"/models/{made.model}/versions/{made.version}"}

    return once(who, work, status=201, headers=location)


def _numbers(text: str | None) -> dict[str, float]:
    """Read the metrics of a query.

    Raises
    ------
    ConfigError
        They are no JSON object of finite numbers.
    """
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or len(found) > MAX_METRICS:
        raise ConfigError('metrics is not a JSON object of numbers; write {"mae": 38.5}', field="metrics")
    if not all(_is_number(value) and 0 < len(name) <= MAX_METRIC_NAME for name, value in found.items()):
        raise ConfigError("metrics holds something that is no finite number; correct it", field="metrics")
    return {name: float(value) for name, value in found.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
